//! Which of Debezium's markers a snapshot's row bears.

use crate::model::change::Marker;

/// Where a row stands in the snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// In the first table, whether or not that has rows.
    pub first_table: bool,
    pub first_in_table: bool,
    pub last_in_table: bool,
    /// No row follows, in this table or a later one.
    pub last: bool,
}

pub const fn marker(place: Place) -> Marker {
    match place {
        Place { last: true, .. } => Marker::Last,
        Place { first_table: true, first_in_table: true, .. } => Marker::First,
        Place { last_in_table: true, .. } => Marker::LastInTable,
        Place { first_in_table: true, .. } => Marker::FirstInTable,
        Place { .. } => Marker::Middle,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Markers of tables with these many rows each.
    fn markers(tables: &[usize]) -> Vec<&'static str> {
        let total: usize = tables.iter().sum();
        let mut seen = 0;
        let mut all = Vec::new();
        for (index, rows) in tables.iter().enumerate() {
            for row in 0..*rows {
                seen += 1;
                let place = Place {
                    first_table: index == 0,
                    first_in_table: row == 0,
                    last_in_table: row + 1 == *rows,
                    last: seen == total,
                };
                all.push(marker(place).text());
            }
        }
        all
    }

    /// As recorded from Debezium: `pg-snapshot-initial`, `-last-empty`, `pg-heartbeat`, `pg-schema-evolution`.
    #[test]
    fn as_debezium_marks() {
        let (first_in, last_in) = ("first_in_data_collection", "last_in_data_collection");
        for (tables, want) in [
            (
                &[4, 3, 0, 1, 2][..],
                vec!["first", "true", "true", last_in, first_in, "true", last_in, last_in, first_in, "last"],
            ),
            (&[2, 0], vec!["first", "last"]),
            (&[1], vec!["last"]),
            (&[1, 1], vec!["first", "last"]),
            (&[0, 2], vec![first_in, "last"]),
        ] {
            assert_eq!(markers(tables), want, "{tables:?}");
        }
    }
}
