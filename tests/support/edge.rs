//! Our agent as what the connector writes to: Kafka's door and a schema registry in one small process.

use crate::{Binary, Launch, Program, topics};
use stack::HOST;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(40);

/// A running agent.
pub struct Agent {
    pub launch: Launch,
    pub program: Program,
    pub door: u16,
    pub registry: u16,
}

impl Agent {
    pub fn start(settings: &[(&str, &str)]) -> Agent {
        let free = || stack::port::free().expect("a free port");
        let (door, registry, features) = (free(), free(), free());
        let mut launch = Launch::new(Binary::Agent, "[db]\npath = \"agent.db\"\n").expect("a launch");
        launch
            .set("door.listen", format!("{HOST}:{door}"))
            .set("registry.listen", format!("{HOST}:{registry}"))
            .set("features.listen", format!("{HOST}:{features}"));
        for (key, value) in settings {
            launch.set(key, value);
        }
        let mut program = launch.start().expect("the agent starts");
        program.wait_ready(LIMIT).expect("the agent is ready");
        Agent { launch, program, door, registry }
    }

    pub fn brokers(&self) -> String {
        format!("{HOST}:{}", self.door)
    }

    pub fn registry(&self) -> String {
        format!("http://{HOST}:{}", self.registry)
    }

    /// Records in all topics that begin with `prefix`.
    pub fn records(&self, prefix: &str) -> i64 {
        topics::total(&self.brokers(), prefix)
    }
}
