//! Requests on their way: from the channels, and from the signal table's own rows, to the source.

use super::run::Pipeline;
use crate::model::change::{Event, Op, Origin};
use crate::model::request::{At, Request};
use crate::model::value::Value;
use crate::signal;

impl Pipeline<'_> {
    /// Asks the channels, and hands on what was asked.
    pub(super) fn control(&mut self) {
        let polled = self.signals.poll();
        self.hand_on(polled);
        self.hand_on_asked();
        self.signals.done();
    }

    /// What rows of the signal table asked for goes to the source before it is polled again: it takes what it
    /// was not given for what need not be followed.
    pub(super) fn hand_on_asked(&mut self) {
        let asked = std::mem::take(&mut self.asked);
        self.hand_on(asked);
    }

    fn hand_on(&mut self, requests: Vec<Request>) {
        for request in requests {
            if let Err(error) = self.source.request(request) {
                tracing::warn!(event = "signal_refused", %error, remedy = error.hint(), "a signal is passed over");
            }
        }
    }
}

/// What a row inserted into the signal table asks for. What is not understood is told and passed over.
pub(super) fn asked(event: &Event<'_>, table: &str) -> Option<Request> {
    let Event::Change(change) = event else { return None };
    let id = &change.table.id;
    let is_signal = table.strip_prefix(id.schema.as_str()).and_then(|rest| rest.strip_prefix('.'));
    if change.op != Op::Create || is_signal != Some(id.name.as_str()) {
        return None;
    }
    let text = |at: usize| match change.after.and_then(|row| row.get(at)) {
        Some(Value::Text(text)) => *text,
        _ => "",
    };
    if signal::is_mark(text(1)) {
        return None;
    }
    let Origin::Postgres(origin) = &change.origin;
    let (lsn, last_commit_lsn, transaction_id) = (origin.lsn, origin.last_commit_lsn, origin.transaction_id);
    match signal::parse(text(0), text(1), text(2)) {
        Ok(request) => Some(Request { at: Some(At { lsn, last_commit_lsn, transaction_id }), ..request }),
        Err(error) => {
            tracing::warn!(event = "signal_refused", %error, remedy = error.hint(), "a signal is passed over");
            None
        }
    }
}
