//! Whether records go to the centre, and what of it is said: an outage once with each of its remedies, and its
//! end once.

use super::progress::Watch;
use crate::metrics;
use shared::error::Error;

/// An outage whose errors ask for more than this says the others no more.
const MOST_SAID: usize = 8;

pub struct Link {
    state: State,
    watch: Watch,
}

enum State {
    Unknown,
    Works,
    /// What was asked of the operator so far.
    Waits(Vec<String>),
}

impl Link {
    pub fn new(watch: Watch) -> Link {
        Link { state: State::Unknown, watch }
    }

    pub fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waits(_))
    }

    /// The centre does not take what there is to send, or does not answer.
    pub fn waits(&mut self, error: &Error) {
        let remedy = error.hint();
        if self.asks_anew(remedy) {
            tracing::warn!(
                event = "forward_waits", %error, remedy,
                "nothing goes to central Kafka for now; the log keeps it, it is tried again"
            );
        }
        self.lost(error, false);
    }

    fn asks_anew(&mut self, remedy: &str) -> bool {
        if !self.is_waiting() {
            self.state = State::Waits(Vec::new());
        }
        let State::Waits(said) = &mut self.state else { return false };
        let new = said.len() < MOST_SAID && !said.iter().any(|asked| asked == remedy);
        if new {
            said.push(remedy.to_owned());
        }
        new
    }

    /// Records are there for everybody, or nothing is to be sent and it answered.
    pub fn works(&mut self) {
        match self.state {
            State::Works => return,
            State::Unknown => {}
            State::Waits(_) => {
                tracing::info!(event = "forward_works", "records go to central Kafka again");
            }
        }
        self.state = State::Works;
        metrics::FORWARD_CONNECTED.set(1);
        self.watch.update(|state| (state.connected, state.error, state.remedy) = (true, None, None));
    }

    /// Somebody must decide.
    pub fn ends(&mut self, error: &Error) {
        self.lost(error, true);
        tracing::error!(
            event = "forward_ended", %error, remedy = error.hint(),
            "nothing goes to central Kafka before a person has acted; the log keeps it"
        );
    }

    fn lost(&self, error: &Error, ended: bool) {
        metrics::FORWARD_CONNECTED.set(0);
        let (words, remedy) = (error.to_string(), error.hint().to_owned());
        self.watch.update(|state| {
            (state.connected, state.ended) = (false, ended);
            (state.error, state.remedy) = (Some(words), Some(remedy));
        });
    }
}
