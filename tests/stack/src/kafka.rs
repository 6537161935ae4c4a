//! Apache Kafka, one KRaft node that is broker and controller.

use crate::error::Result;
use crate::folder::Folder;
use crate::install::{apt, java, maven, step};
use crate::process::{Process, Signal, command, run};
use crate::proxy::Proxy;
use crate::{HOST, port};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const VERSION: &str = "4.4.0";
pub(crate) const LOGGING: &str = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.5";
/// Any 16 bytes in base64; a data folder belongs to one cluster.
const CLUSTER: &str = "dGlkZWdhdGUtc3RhY2stMQ";
const START_LIMIT: Duration = Duration::from_secs(120);
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// How to start it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether a topic comes into being when somebody asks for it.
    pub auto_create_topics: bool,
    /// Partitions of a topic that came into being so.
    pub partitions: u32,
    /// The port of a proxy: clients that come by [`Kafka::far_port`] are sent there for all they want.
    pub far: Option<u16>,
    /// Further lines of `server.properties`.
    pub settings: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Options {
        Options { auto_create_topics: true, partitions: 1, far: None, settings: Vec::new() }
    }
}

/// A running (or stopped) broker.
#[derive(Debug)]
pub struct Kafka {
    process: Option<Process>,
    java: PathBuf,
    libraries: PathBuf,
    port: u16,
    far_port: u16,
    folder: Folder,
}

/// Makes sure that Java and Kafka are there and gives the folder of Kafka's libraries.
pub fn install() -> Result<PathBuf> {
    java::at_least(java::KAFKA)?;
    let server = format!("org.apache.kafka:kafka_2.13:{VERSION}");
    let artifacts = [server.as_str(), LOGGING];
    let folder = step(&format!("kafka-{VERSION}"), &artifacts.join("\n"), |folder| {
        maven::libraries(folder, &artifacts)
    })?;
    kcat()?;
    Ok(folder.join("libs"))
}

/// Makes sure that `kcat` is there.
pub fn kcat() -> Result<PathBuf> {
    apt::program("kcat", "kcat")
}

impl Kafka {
    pub fn start(options: Options) -> Result<Kafka> {
        let java = java::at_least(java::KAFKA)?;
        let libraries = install()?;
        port::retry(|| {
            let folder = Folder::new("kafka")?;
            let (port, far_port) = (port::free()?, port::free()?);
            let (java, libraries) = (java.clone(), libraries.clone());
            let mut server = Kafka { process: None, java, libraries, port, far_port, folder };
            server.format(&options)?;
            server.start_again()?;
            Ok(server)
        })
    }

    /// Clients come through the proxy for all they want; what it does to them does nothing to the broker itself.
    pub fn behind(proxy: &Proxy, options: Options) -> Result<Kafka> {
        let kafka = Kafka::start(Options { far: Some(proxy.port()), ..options })?;
        proxy.aim(kafka.far_port());
        Ok(kafka)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where a proxy reaches it, if it was started with [`Options::far`].
    pub fn far_port(&self) -> u16 {
        self.far_port
    }

    /// `host:port`, as clients want it in `bootstrap.servers`.
    pub fn bootstrap(&self) -> String {
        format!("{HOST}:{}", self.port)
    }

    /// The program `kcat`, which stands in for Kafka's own command line tools.
    pub fn kcat(&self) -> Result<PathBuf> {
        kcat()
    }

    pub fn process(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    /// Ends it in order. The data stays.
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

    /// Starts on the same data and the same port.
    pub fn start_again(&mut self) -> Result<()> {
        let log = self.folder.path().join("kafka.log");
        // A second start must not take the first one's line for its own.
        let _ = std::fs::remove_file(&log);
        let mut command = command(&self.java, Signal::Kill, None);
        command.args(["-Xms256m", "-Xmx768m", "-XX:+UseG1GC"]).arg(log4j(&self.folder)?);
        command.arg("-cp").arg(class_path(&self.libraries)).arg("kafka.Kafka").arg(self.properties());
        let mut process = Process::spawn("kafka", command, &log)?;
        let started =
            || std::fs::read_to_string(&log).is_ok_and(|text| text.contains("Kafka Server started"));
        process.wait_ready(START_LIMIT, || started() && port::answers(self.port))?;
        self.process = Some(process);
        Ok(())
    }

    fn properties(&self) -> PathBuf {
        self.folder.path().join("server.properties")
    }

    fn format(&self, options: &Options) -> Result<()> {
        self.folder.write("server.properties", &self.settings(options, port::free()?))?;
        let mut command = Command::new(&self.java);
        command.arg("-Xmx256m").arg(log4j(&self.folder)?).arg("-cp").arg(class_path(&self.libraries));
        command.args(["kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", CLUSTER, "-c"]);
        run("format Kafka's data folder", command.arg(self.properties())).map(drop)
    }

    fn settings(&self, options: &Options, controller: u16) -> String {
        let broker = self.bootstrap();
        let (data, create, partitions) =
            (self.folder.path().join("data"), options.auto_create_topics, options.partitions);
        let (mut listen, mut advertised) = (String::new(), String::new());
        if let Some(proxy) = options.far {
            listen = format!(",FAR://{HOST}:{}", self.far_port);
            advertised = format!(",FAR://{HOST}:{proxy}");
        }
        let mut text = format!(
            "process.roles=broker,controller\n\
             node.id=1\n\
             controller.quorum.voters=1@{HOST}:{controller}\n\
             listeners=PLAINTEXT://{broker},CONTROLLER://{HOST}:{controller}{listen}\n\
             advertised.listeners=PLAINTEXT://{broker}{advertised}\n\
             listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,FAR:PLAINTEXT\n\
             controller.listener.names=CONTROLLER\n\
             inter.broker.listener.name=PLAINTEXT\n\
             log.dirs={}\n\
             num.partitions={partitions}\n\
             auto.create.topics.enable={create}\n\
             offsets.topic.replication.factor=1\n\
             offsets.topic.num.partitions=4\n\
             transaction.state.log.replication.factor=1\n\
             transaction.state.log.min.isr=1\n\
             transaction.state.log.num.partitions=4\n\
             share.coordinator.state.topic.replication.factor=1\n\
             share.coordinator.state.topic.min.isr=1\n\
             group.initial.rebalance.delay.ms=0\n\
             message.max.bytes=10485760\n\
             replica.fetch.max.bytes=10485760\n",
            data.display()
        );
        for (name, value) in &options.settings {
            text.push_str(&format!("{name}={value}\n"));
        }
        text
    }
}

/// All jars of a folder.
pub(crate) fn class_path(libraries: &Path) -> PathBuf {
    libraries.join("*")
}

/// Writes the logging settings of Kafka and Connect; gives the argument that names them.
pub(crate) fn log4j(folder: &Folder) -> Result<String> {
    let path = folder.write("log4j2.xml", LOG4J)?;
    Ok(format!("-Dlog4j2.configurationFile={}", path.display()))
}

const LOG4J: &str = r#"<Configuration status="WARN">
  <Appenders><Console name="STDOUT"><PatternLayout pattern="[%d] %p %m (%c{1})%n"/></Console></Appenders>
  <Loggers>
    <Root level="INFO"><AppenderRef ref="STDOUT"/></Root>
    <Logger name="org.reflections" level="ERROR"/>
    <Logger name="org.apache.kafka.clients" level="WARN"/>
    <Logger name="org.apache.kafka.common.config.AbstractConfig" level="WARN"/>
  </Loggers>
</Configuration>
"#;
