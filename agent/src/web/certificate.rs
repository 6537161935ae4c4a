//! A door's certificate, which follows its files: who renews it need not restart the agent.
//!
//! New connections get the new one, those that are open go on with the old. The files are looked at now and then,
//! and at once on SIGHUP. Whoever renews writes several files one after the other, so a change counts when the next
//! look finds the same; what cannot be used is said once, and the old certificate stays.

use crate::config::web::ServerTlsConfig;
use rustls::ServerConfig;
use shared::Result;
use shared::shutdown::Shutdown;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;

/// Renewals come weeks before the end of what they replace.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What new connections are accepted with.
#[derive(Clone)]
pub struct Certificate(Arc<Followed>);

struct Followed {
    /// For the log.
    door: &'static str,
    files: ServerTlsConfig,
    protocols: Vec<Vec<u8>>,
    current: RwLock<Arc<ServerConfig>>,
}

/// When each file was last written, how long it is, and which one it is; `None`: it cannot be seen.
type Stamp = Vec<Option<(i64, i64, u64, u64)>>;

impl Certificate {
    /// Reads the files, and follows them until the program stops. `protocols`: those of ALPN.
    ///
    /// # Errors
    /// `Config`, naming the file that is missing or unfit.
    pub fn follow(
        door: &'static str,
        files: &ServerTlsConfig,
        protocols: &[&[u8]],
        shutdown: Shutdown,
    ) -> Result<Certificate> {
        let protocols: Vec<Vec<u8>> = protocols.iter().map(|name| name.to_vec()).collect();
        // Before they are read: what is written meanwhile is seen later.
        let stamp = stamp(files);
        let current = RwLock::new(Arc::new(read(files, &protocols)?));
        let certificate = Certificate(Arc::new(Followed { door, files: files.clone(), protocols, current }));
        tokio::spawn(Arc::clone(&certificate.0).watch(stamp, shutdown));
        Ok(certificate)
    }

    pub fn acceptor(&self) -> TlsAcceptor {
        let current = self.0.current.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&current))
    }
}

impl Followed {
    async fn watch(self: Arc<Self>, mut known: Stamp, shutdown: Shutdown) {
        let mut asked = signal(SignalKind::hangup()).ok();
        let mut last = known.clone();
        loop {
            let hangup = async {
                match &mut asked {
                    Some(asked) => drop(asked.recv().await),
                    None => std::future::pending().await,
                }
            };
            let at_once = tokio::select! {
                () = shutdown.wait() => return,
                () = tokio::time::sleep(LOOK_EVERY) => false,
                () = hangup => true,
            };
            let now = stamp(&self.files);
            let settled = std::mem::replace(&mut last, now.clone()) == now;
            if at_once || (now != known && settled) {
                self.read_anew();
                known = now;
            }
        }
    }

    fn read_anew(&self) {
        let door = self.door;
        match read(&self.files, &self.protocols) {
            Ok(config) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                tracing::info!(
                    event = "web_certificate_read",
                    door,
                    "new connections get the certificate as it is now"
                );
            }
            Err(error) => tracing::warn!(
                event = "web_certificate_unfit", door, %error, remedy = error.hint(),
                "a changed certificate cannot be used: connections get the old one"
            ),
        }
    }
}

fn read(files: &ServerTlsConfig, protocols: &[Vec<u8>]) -> Result<ServerConfig> {
    let mut config = files.server()?;
    config.alpn_protocols = protocols.to_vec();
    Ok(config)
}

fn stamp(files: &ServerTlsConfig) -> Stamp {
    let one = |path: &Path| {
        let found = std::fs::metadata(path).ok()?;
        Some((found.mtime(), found.mtime_nsec(), found.len(), found.ino()))
    };
    let clients = files.client_ca_file.as_deref();
    [Some(files.cert_file.as_path()), Some(files.key_file.as_path()), clients]
        .into_iter()
        .flatten()
        .map(one)
        .collect()
}
