//! A Java program on Kafka's own client library, run from its source.

use std::process::Command;

/// Runs `java/Door.java`; its output's lines, or `None` where no Java compiles.
pub fn door(brokers: &str, step: &str, topic: &str, settings: &[&str]) -> Option<Vec<String>> {
    let java = stack::install::java::at_least(stack::install::java::KAFKA).expect("Java");
    let modules = Command::new(&java).arg("--list-modules").output().expect("Java runs");
    if !String::from_utf8_lossy(&modules.stdout).contains("jdk.compiler") {
        assert!(std::env::var_os("TIDEGATE_REQUIRE_SERVERS").is_none(), "this Java does not compile");
        println!("SKIPPED: this Java has no compiler, so no Java client was tried");
        return None;
    }
    let libraries = stack::kafka::install().expect("Kafka's libraries").join("*");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/java/Door.java");
    let mut command = Command::new(java);
    command.arg("-cp").arg(libraries).args(["-Dlog4j2.level=ERROR", source, brokers, step, topic]);
    let output = command.args(settings).output().expect("Java runs");
    let lines: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{step}: {errors}\n{}", lines.join("\n"));
    Some(lines)
}
