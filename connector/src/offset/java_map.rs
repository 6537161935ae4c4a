//! The file of Kafka Connect's standalone worker and of Debezium Server: a serialised
//! `HashMap<byte[], byte[]>` of the same keys and values that stand in Connect's topic. Pure.

use super::java::{self, Field, Node, Object, Part, class};
use shared::error::{Error, Kind, Result};
use std::rc::Rc;

/// A key and its value; without one the offset was deleted.
pub type Entry = (Vec<u8>, Option<Vec<u8>>);

/// Whether Java wrote it.
pub fn is_java(content: &[u8]) -> bool {
    content.starts_with(&java::HEAD)
}

/// # Errors
/// `Lost` if it is no such map.
pub fn read(content: &[u8]) -> Result<Vec<Entry>> {
    let lost = |what: String| Error::new(Kind::Lost, what);
    let Node::Object(map) = java::read(content).map_err(|error| lost(error.to_string()))? else {
        return Err(lost("it holds another Java object than a map".to_owned()));
    };
    let entries = map.parts.first().and_then(|part| part.extra.split_first()).map(|(_, entries)| entries);
    let (pairs, rest) = entries.unwrap_or_default().as_chunks::<2>();
    if map.class.name != "java.util.HashMap" || !rest.is_empty() {
        return Err(lost(format!("it holds a {} and no map", map.class.name)));
    }
    let pair = |pair: &[Node; 2]| match pair {
        [Node::Bytes(key), Node::Bytes(value)] => Some((key.to_vec(), Some(value.to_vec()))),
        [Node::Bytes(key), Node::Null] => Some((key.to_vec(), None)),
        _ => None,
    };
    let found: Option<Vec<Entry>> = pairs.iter().map(pair).collect();
    found.ok_or_else(|| lost("its keys and values are not bytes".to_owned()))
}

/// As Java writes a map into which the entries were put one by one.
pub fn write(entries: &[Entry]) -> Vec<u8> {
    const LOAD_FACTOR: f32 = 0.75;
    let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
    let mut buckets = 16_u32;
    while buckets / 4 * 3 < count {
        buckets *= 2;
    }
    let sizes = [buckets.to_be_bytes(), count.to_be_bytes()].concat();
    let bytes = |bytes: &[u8]| Node::Bytes(bytes.into());
    let pairs =
        entries.iter().flat_map(|(key, value)| [bytes(key), value.as_deref().map_or(Node::Null, bytes)]);
    let part = Part {
        fields: vec![Field::Float(LOAD_FACTOR), Field::Int((buckets / 4 * 3).cast_signed())],
        extra: std::iter::once(Node::Block(sizes.into())).chain(pairs).collect(),
    };
    java::write(&Node::Object(Rc::new(Object { class: class::hash_map(), parts: vec![part] })))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by Java 17: `k` → `v`, `k2` → null.
    const JAVA: &[u8] = include_bytes!("../../../tests/fuzz/corpus/java/map");

    #[test]
    fn java_s_map_is_read_and_written_to_the_byte() {
        let entries = read(JAVA).expect("a map");
        assert_eq!(entries, [(b"k".to_vec(), Some(b"v".to_vec())), (b"k2".to_vec(), None)]);
        assert_eq!(write(&entries), JAVA);
        for count in [0, 12, 13, 100] {
            let entries: Vec<Entry> = (0..count).map(|n: u8| (vec![n], Some(vec![n, n]))).collect();
            assert_eq!(read(&write(&entries)).expect("a map"), entries);
        }
    }

    #[test]
    fn what_is_no_map_is_lost() {
        for content in [&b""[..], &java::HEAD, b"\xac\xed\x00\x05\x70", JAVA.split_last().expect("bytes").1] {
            assert_eq!(read(content).expect_err("no map").kind(), Kind::Lost);
        }
    }
}
