//! What holds of any signal: it is understood or refused in words, and nothing else.

use super::{file, parse};
use shared::Kind;

pub fn signal(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (kind, data) = text.split_once('\n').unwrap_or((&text, ""));
    for kind in [kind, "execute-snapshot", "stop-snapshot"] {
        if let Err(error) = parse("id", kind, data) {
            assert_eq!(error.kind(), Kind::Config, "{error}");
        }
    }
    if let Err(error) = file::line(&text) {
        assert_eq!(error.kind(), Kind::Config, "{error}");
    }
}
