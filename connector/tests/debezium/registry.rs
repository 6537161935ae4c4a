//! A registry in this process: hands out ids by text and remembers what was asked, in order.

use axum::extract::{Path, State};
use axum::{Json, Router, routing::post};
use connector::config::Config;
use connector::encode::Encoder;
use serde_json::{Value, json};
use shared::registry::Registry;
use std::sync::{Arc, Mutex};

/// Subject and text of each registration; a schema's id is its place, counted from 1.
pub type Registered = Arc<Mutex<Vec<(String, String)>>>;

/// A registry and an encoder that uses it.
pub struct Encoding {
    pub encoder: Encoder,
    pub registered: Registered,
    pub config: Config,
    _runtime: tokio::runtime::Runtime,
}

impl Encoding {
    /// `settings` as given by `--set`.
    pub fn start(settings: &[String]) -> Encoding {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let registered = Registered::default();
        let router = Router::new()
            .route("/subjects/{subject}/versions", post(register))
            .with_state(registered.clone());
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        runtime.spawn(async move { axum::serve(listener, router).await });
        let toml = format!(
            concat!(
                "[source]\ndatabase = \"d\"\nuser = \"u\"\n[event]\ntopic_prefix = \"p\"\n",
                "[avro.registry]\nurl = [\"{}\"]\n[sink.kafka]\nbrokers = \"b:1\"\n"
            ),
            url
        );
        let config = connector::config::parse(&toml, settings).expect("valid");
        let registry = Registry::new(config.avro.registry.clone().expect("set above")).expect("a client");
        let encoder = Encoder::new(&config, Some(registry), runtime.handle().clone()).expect("an encoder");
        Encoding { encoder, registered, config, _runtime: runtime }
    }
}

async fn register(
    State(registered): State<Registered>,
    Path(subject): Path<String>,
    body: String,
) -> Json<Value> {
    let body: Value = serde_json::from_str(&body).expect("JSON");
    let schema = body["schema"].as_str().expect("a schema").to_owned();
    let mut registered = registered.lock().expect("not poisoned");
    registered.push((subject, schema));
    Json(json!({ "id": registered.len() }))
}
