//! `pgoutput`'s messages: read, printed, and read again.

use crate::source::postgres::pgoutput::{Begin, Cell, Commit, Logical, Message, Old, Relation, Tuple};

/// Microseconds from 1970-01-01 to PostgreSQL's epoch.
const EPOCH_US: i64 = 946_684_800_000_000;

/// What is read of a message prints to the same message.
pub fn pgoutput(input: &[u8]) {
    let Ok(message) = Message::parse(input) else { return };
    let Some(once) = printed(&message) else { return };
    assert!(once.len() <= input.len() + "pg_catalog".len());
    if let Message::Insert { .. } | Message::Update { .. } | Message::Delete { .. } = message {
        assert!(input.starts_with(&once), "rows are kept to the byte");
    }
    let again = Message::parse(&once).expect("a message as it is printed");
    assert_eq!(printed(&again).as_ref(), Some(&once));
}

/// `None` if a relation's columns are damaged: they are not looked at before they are needed.
fn printed(message: &Message<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match message {
        Message::Begin(Begin { final_lsn, commit_time_us, transaction_id }) => {
            out.push(b'B');
            out.extend(final_lsn.0.to_be_bytes());
            out.extend(commit_time_us.saturating_sub(EPOCH_US).to_be_bytes());
            out.extend(transaction_id.to_be_bytes());
        }
        Message::Commit(Commit { end_lsn, commit_time_us }) => {
            out.extend(b"C\0\0\0\0\0\0\0\0\0");
            out.extend(end_lsn.0.to_be_bytes());
            out.extend(commit_time_us.saturating_sub(EPOCH_US).to_be_bytes());
        }
        Message::Relation(relation) => print_relation(&mut out, relation)?,
        Message::Insert { relation, new } => {
            out.push(b'I');
            out.extend(relation.to_be_bytes());
            print_tuple(&mut out, b'N', new);
        }
        Message::Update { relation, old, new } => {
            out.push(b'U');
            out.extend(relation.to_be_bytes());
            if let Some(old) = old {
                print_old(&mut out, old);
            }
            print_tuple(&mut out, b'N', new);
        }
        Message::Delete { relation, old } => {
            out.push(b'D');
            out.extend(relation.to_be_bytes());
            print_old(&mut out, old);
        }
        Message::Truncate(truncate) => {
            let numbers: Vec<u32> = truncate.relations().collect();
            out.push(b'T');
            out.extend(u32::try_from(numbers.len()).expect("as many as were counted").to_be_bytes());
            out.push(0);
            numbers.iter().for_each(|number| out.extend(number.to_be_bytes()));
        }
        Message::Logical(Logical { transactional, prefix, content }) => {
            out.extend([b'M', u8::from(*transactional), 0, 0, 0, 0, 0, 0, 0, 0]);
            print_text(&mut out, prefix);
            out.extend(u32::try_from(content.len()).expect("as long as was said").to_be_bytes());
            out.extend(*content);
        }
        Message::Origin { name, lsn } => {
            out.push(b'O');
            out.extend(lsn.0.to_be_bytes());
            print_text(&mut out, name);
        }
        Message::Type => out.push(b'Y'),
    }
    Some(out)
}

fn print_relation(out: &mut Vec<u8>, relation: &Relation<'_>) -> Option<()> {
    let columns: Vec<_> = relation.columns().collect::<Result<_, _>>().ok()?;
    out.push(b'R');
    out.extend(relation.id.to_be_bytes());
    print_text(out, relation.schema);
    print_text(out, relation.name);
    out.push(b'd');
    out.extend(u16::try_from(columns.len()).expect("as many as were counted").to_be_bytes());
    for column in columns {
        out.push(0);
        print_text(out, column.name);
        out.extend(column.type_oid.to_be_bytes());
        out.extend(column.modifier.to_be_bytes());
    }
    Some(())
}

fn print_old(out: &mut Vec<u8>, old: &Old<'_>) {
    print_tuple(out, if old.whole { b'O' } else { b'K' }, &old.tuple);
}

fn print_tuple(out: &mut Vec<u8>, kind: u8, tuple: &Tuple<'_>) {
    out.push(kind);
    out.extend(u16::try_from(tuple.len()).expect("as many as were counted").to_be_bytes());
    for cell in tuple.cells() {
        match cell.expect("the tuple was walked before") {
            Cell::Null => out.push(b'n'),
            Cell::Unchanged => out.push(b'u'),
            Cell::Text(text) => {
                out.push(b't');
                out.extend(u32::try_from(text.len()).expect("as long as was said").to_be_bytes());
                out.extend(text);
            }
        }
    }
}

fn print_text(out: &mut Vec<u8>, text: &str) {
    out.extend(text.as_bytes());
    out.push(0);
}
