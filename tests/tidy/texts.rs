//! What no file of ours may say, and what each Rust file says first.

use crate::assert_clean;
use crate::tree::{all, rust};

/// Split, so that this file does not find itself.
const UNFINISHED: &[&str] =
    &[concat!("todo", "!("), concat!("dbg", "!("), concat!("unimplemented", "!("), concat!("#[", "ignore")];

/// Folders of the machine that somebody worked on.
const MACHINE: &[&str] =
    &[concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/tmp", "/w/"), concat!("/ho", "me/")];

/// A registry is its client's business; mirrors exist.
const HOSTS: &[&str] = &[
    concat!("pypi", ".org"),
    concat!("registry.", "npmjs"),
    concat!("maven.", "org"),
    concat!("maven.", "apache"),
    concat!("static.", "crates.io"),
    concat!("index.", "crates.io"),
    concat!("deb.", "debian.org"),
];

#[test]
fn nothing_is_left_unfinished() {
    assert_clean("no unfinished or switched-off code", &rust_lines_with(UNFINISHED));
}

#[test]
fn no_file_names_a_machine_of_ours() {
    assert_clean("no path of one machine", &lines_with(MACHINE));
    assert_clean("no host of a package registry", &lines_with(HOSTS));
}

#[test]
fn each_rust_file_says_first_what_it_is_for() {
    let silent: Vec<String> =
        rust().into_iter().filter(|file| !file.text.starts_with("//!")).map(|file| file.path).collect();
    assert_clean("a Rust file opens with `//!` and what it is for", &silent);
}

fn rust_lines_with(words: &[&str]) -> Vec<String> {
    rust().iter().flat_map(|file| found(&file.path, &file.text, words)).collect()
}

fn lines_with(words: &[&str]) -> Vec<String> {
    all().iter().flat_map(|file| found(&file.path, &file.text, words)).collect()
}

fn found(path: &str, text: &str, words: &[&str]) -> Vec<String> {
    let hits = text.lines().enumerate().filter(|(_, line)| words.iter().any(|word| line.contains(word)));
    hits.map(|(at, line)| format!("{path}:{}: {}", at + 1, line.trim())).collect()
}

#[test]
fn a_hit_names_its_line() {
    let text = format!("fn f() {{\n    {})\n}}\n", concat!("todo", "!("));
    assert_eq!(found("a.rs", &text, UNFINISHED), [format!("a.rs:2: {})", concat!("todo", "!("))]);
}
