//! A stand-in for a vector index: takes what the vendor's published description (2026-04) allows, refuses
//! everything else as that says, and keeps it in memory. No server of the vendor's can be had.

use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

const KEY: &str = "a-key";
const MAX_BODY: usize = 2 << 20;

/// Listens until the process ends.
pub struct Index {
    pub port: u16,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    /// By namespace and id.
    vectors: BTreeMap<(String, String), Json>,
    /// An id that it takes no vector for, whatever the reason.
    cursed: Option<String>,
    requests: usize,
}

struct Request {
    method: String,
    path: String,
    query: Vec<(String, String)>,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Index {
    pub fn start() -> Index {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("listens");
        let port = listener.local_addr().expect("an address").port();
        let inner = Arc::new(Mutex::new(Inner::default()));
        let shared = Arc::clone(&inner);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Index { port, inner }
    }

    pub fn curse(&self, id: &str) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).cursed = Some(id.to_owned());
    }

    pub fn requests(&self) -> usize {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).requests
    }

    pub fn key() -> &'static str {
        KEY
    }
}

fn serve(stream: TcpStream, shared: &Mutex<Inner>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut stream = stream;
    while let Some(request) = read(&mut reader) {
        let (status, body) = answer(&request, &mut shared.lock().unwrap_or_else(PoisonError::into_inner));
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).is_err() {
            return;
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        Some(line.trim_end().to_owned())
    };
    let first = line()?;
    let mut words = first.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let header = line()?;
        let Some((name, value)) = header.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").map_or(0, |n| n.parse().expect("a length"));
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name.to_owned(), decoded(value))
    };
    let query = query.split('&').filter(|pair| !pair.is_empty()).map(pair).collect();
    Some(Request { method, path: path.to_owned(), query, headers, body })
}

fn decoded(text: &str) -> String {
    let (mut out, mut bytes) = (Vec::new(), text.bytes());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let mut digit =
                    || char::from(bytes.next().expect("two digits")).to_digit(16).expect("hexadecimal");
                (digit() * 16 + digit()) as u8
            }
            b'+' => b' ',
            plain => plain,
        });
    }
    String::from_utf8(out).expect("text")
}

fn answer(request: &Request, inner: &mut Inner) -> (u16, String) {
    inner.requests += 1;
    if request.headers.get("api-key").map(String::as_str) != Some(KEY) {
        return (401, "Invalid API Key".to_owned());
    }
    match handled(request, inner) {
        Ok(body) => (200, body.to_string()),
        Err(why) => (400, json!({"code": 3, "message": why, "details": []}).to_string()),
    }
}

fn handled(request: &Request, inner: &mut Inner) -> Result<Json, String> {
    let version = request.headers.get("x-pinecone-api-version").ok_or("no version")?;
    if version.len() != 7 || request.body.len() > MAX_BODY {
        return Err(format!("version {version}, {} bytes", request.body.len()));
    }
    if request.method == "GET" && request.path == "/vectors/fetch" {
        return Ok(fetch(request, inner));
    }
    if request.headers.get("content-type").is_none_or(|kind| !kind.starts_with("application/json")) {
        return Err("no JSON".to_owned());
    }
    let body: Json = serde_json::from_slice(&request.body).map_err(|error| error.to_string())?;
    let namespace = body["namespace"].as_str().unwrap_or_default().to_owned();
    match (request.method.as_str(), request.path.as_str()) {
        ("POST", "/vectors/upsert") => {
            only(&body, &["vectors", "namespace"])?;
            let vectors = body["vectors"].as_array().ok_or("vectors is no list")?;
            if !(1..=1_000).contains(&vectors.len()) {
                return Err(format!("{} vectors", vectors.len()));
            }
            vectors.iter().try_for_each(|vector| check(vector, inner.cursed.as_deref()))?;
            for vector in vectors {
                let id = vector["id"].as_str().unwrap_or_default().to_owned();
                inner.vectors.insert((namespace.clone(), id), vector.clone());
            }
            Ok(json!({"upsertedCount": vectors.len()}))
        }
        ("POST", "/vectors/delete") => {
            only(&body, &["ids", "namespace"])?;
            let ids = body["ids"].as_array().ok_or("ids is no list")?;
            if !(1..=1_000).contains(&ids.len()) {
                return Err(format!("{} ids", ids.len()));
            }
            for id in ids {
                inner.vectors.remove(&(namespace.clone(), id.as_str().ok_or("an id is no text")?.to_owned()));
            }
            Ok(json!({}))
        }
        ("POST", "/describe_index_stats") => Ok(json!({"totalVectorCount": inner.vectors.len()})),
        (method, path) => Err(format!("{method} {path} is not described")),
    }
}

fn fetch(request: &Request, inner: &Inner) -> Json {
    let of =
        |name: &'static str| request.query.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.clone());
    let namespace = of("namespace").next().unwrap_or_default();
    let found = of("ids").filter_map(|id| {
        let vector = inner.vectors.get(&(namespace.clone(), id.clone()))?;
        Some((id, vector.clone()))
    });
    json!({"vectors": found.collect::<serde_json::Map<_, _>>(), "namespace": namespace, "usage": {"readUnits": 1}})
}

fn only(object: &Json, known: &[&str]) -> Result<(), String> {
    let keys = object.as_object().ok_or("no object")?.keys();
    match keys.into_iter().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(format!("{key} is not described")),
        None => Ok(()),
    }
}

fn check(vector: &Json, cursed: Option<&str>) -> Result<(), String> {
    only(vector, &["id", "values", "metadata"])?;
    let id = vector["id"].as_str().ok_or("no id")?;
    if !(1..=512).contains(&id.len()) || !id.is_ascii() || id.contains(' ') || cursed == Some(id) {
        return Err(format!("the id {id:?} is not allowed"));
    }
    let values = vector["values"].as_array().ok_or("no values")?;
    if !(1..=20_000).contains(&values.len()) || !values.iter().all(Json::is_number) {
        return Err("values are not 1 to 20000 numbers".to_owned());
    }
    if vector["metadata"].to_string().len() > 40_960 {
        return Err("metadata has more than 40 KB".to_owned());
    }
    let texts = |list: &Json| list.as_array().is_some_and(|list| list.iter().all(Json::is_string));
    for (name, value) in vector["metadata"].as_object().ok_or("metadata is no object")? {
        if !(value.is_string() || value.is_number() || value.is_boolean() || texts(value)) {
            return Err(format!("metadata {name} is of a kind that is not allowed"));
        }
    }
    Ok(())
}
