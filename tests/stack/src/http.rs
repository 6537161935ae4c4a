//! The few HTTP calls that the servers' REST interfaces need: JSON in, JSON out, errors with the body.

use crate::error::{Error, Result};
use serde_json::Value;
use std::time::Duration;

/// No call to a server on the same machine takes longer, except Connect's while it rebalances.
const LIMIT: Duration = Duration::from_secs(90);

/// Status and body; an unreachable server is the error.
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Answer {
    /// The body as JSON if the status is 2xx, else an error with the server's own words.
    pub fn json(self) -> Result<Value> {
        if !(200..300).contains(&self.status) {
            return Err(Error::new(format!("status {}: {}", self.status, self.body.trim())));
        }
        if self.body.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&self.body).map_err(|error| Error::new(format!("answer is not JSON: {error}")))
    }
}

pub fn get(url: &str) -> Result<Answer> {
    finish(url, agent(LIMIT).get(url).call())
}

/// Does it answer with 2xx within a moment?
pub fn answers(url: &str) -> bool {
    agent(Duration::from_secs(3)).get(url).call().is_ok_and(|answer| answer.status().is_success())
}

pub fn post(url: &str, body: &Value) -> Result<Answer> {
    finish(url, agent(LIMIT).post(url).send_json(body))
}

pub fn put(url: &str, body: &Value) -> Result<Answer> {
    finish(url, agent(LIMIT).put(url).send_json(body))
}

/// A PUT without a body, as Connect's pause, resume and stop want it.
pub fn put_empty(url: &str) -> Result<Answer> {
    finish(url, agent(LIMIT).put(url).send_empty())
}

pub fn delete(url: &str) -> Result<Answer> {
    finish(url, agent(LIMIT).delete(url).call())
}

fn agent(limit: Duration) -> ureq::Agent {
    ureq::Agent::config_builder().timeout_global(Some(limit)).http_status_as_error(false).build().into()
}

type Called = std::result::Result<ureq::http::Response<ureq::Body>, ureq::Error>;

fn finish(url: &str, called: Called) -> Result<Answer> {
    let mut answer = called.map_err(|error| Error::new(format!("{url}: {error}")))?;
    let body = answer
        .body_mut()
        .read_to_string()
        .map_err(|error| Error::new(format!("read answer of {url}: {error}")))?;
    Ok(Answer { status: answer.status().as_u16(), body })
}
