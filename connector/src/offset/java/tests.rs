//! What Java wrote: `vectors.txt` has `name hexadecimal` per line, from `ObjectOutputStream` of Java 17 with
//! the classes of pgjdbc 42.7.13 and Debezium 3.6.3.

use super::{read, text, write};

fn vectors() -> Vec<(&'static str, Vec<u8>)> {
    let byte =
        |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).expect("digits"), 16).expect("digits");
    let line = |line: &'static str| {
        let (name, digits) = line.split_once(' ').expect("a name and digits");
        (name, digits.as_bytes().as_chunks::<2>().0.iter().map(byte).collect())
    };
    include_str!("vectors.txt").lines().map(line).collect()
}

#[test]
fn what_java_wrote_is_read_and_written_to_the_byte() {
    for (name, bytes) in vectors() {
        let node = read(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(write(&node), bytes, "{name}");
    }
}

#[test]
fn what_is_cut_or_goes_on_is_refused() {
    for (name, bytes) in vectors() {
        for length in 0..bytes.len() {
            let cut = bytes.get(..length).expect("in range");
            assert!(read(cut).is_err(), "{name} cut to {length}");
        }
        let longer: Vec<u8> = bytes.iter().copied().chain([0x70]).collect();
        assert!(read(&longer).is_err(), "{name} with more behind it");
    }
}

#[test]
fn texts_are_java_s() {
    for (string, bytes) in [
        ("", &[][..]),
        ("a\0b", &[0x61, 0xc0, 0x80, 0x62]),
        ("é", &[0xc3, 0xa9]),
        ("€", &[0xe2, 0x82, 0xac]),
        ("😀", &[0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80]),
    ] {
        assert_eq!(text::encode(string), bytes, "{string:?}");
        assert_eq!(text::decode(bytes).as_deref(), Some(string));
    }
    for bytes in [&[0x80][..], &[0xc3], &[0xe2, 0x82], &[0xed, 0xa0, 0xbd], &[0xf0, 0x9f, 0x98, 0x80]] {
        assert_eq!(text::decode(bytes), None, "{bytes:?}");
    }
}
