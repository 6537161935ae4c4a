//! The statements on a view's table, as Feast 0.67 lays it out. Pure.

/// Where a view's rows are.
pub struct Table<'a> {
    pub schema: &'a str,
    pub project: &'a str,
    pub view: &'a str,
}

impl Table<'_> {
    /// PostgreSQL cuts names to 63 bytes, for Feast as for us.
    fn name(&self) -> String {
        format!("{}_{}", self.project, self.view)
    }

    fn full(&self) -> String {
        format!("{}.{}", quoted(self.schema), quoted(&self.name()))
    }
}

/// What `feast apply` does for a view without text features.
pub fn create(table: &Table<'_>, vector: bool) -> String {
    let (full, vector) = (table.full(), if vector { "vector" } else { "BYTEA" });
    let index = quoted(&format!("{}_ek", table.name()));
    format!(
        "CREATE TABLE IF NOT EXISTS {full} (
             entity_key BYTEA,
             feature_name TEXT,
             value BYTEA,
             value_text TEXT NULL,
             vector_value {vector} NULL,
             event_ts TIMESTAMPTZ,
             created_ts TIMESTAMPTZ,
             PRIMARY KEY (entity_key, feature_name)
         );
         CREATE INDEX IF NOT EXISTS {index} ON {full} (entity_key);"
    )
}

/// Writes arrays of keys, features, values, texts, vectors (as text) and microseconds since 1970; gives
/// the keys that were written.
pub fn write(table: &Table<'_>, vector: bool) -> String {
    let vector = if vector { "r.vector::vector" } else { "NULLIF(r.vector, r.vector)::bytea" };
    format!(
        "WITH written AS (
             INSERT INTO {} AS present
                 (entity_key, feature_name, value, value_text, vector_value, event_ts, created_ts)
             SELECT r.key, r.feature, r.value, r.text, {vector},
                    'epoch'::timestamptz + r.micros * interval '1 microsecond', now()
             FROM unnest($1::bytea[], $2::text[], $3::bytea[], $4::text[], $5::text[], $6::bigint[])
                 AS r (key, feature, value, text, vector, micros)
             ORDER BY r.key, r.feature
             ON CONFLICT (entity_key, feature_name) DO UPDATE SET
                 value = EXCLUDED.value, value_text = EXCLUDED.value_text,
                 vector_value = EXCLUDED.vector_value, event_ts = EXCLUDED.event_ts,
                 created_ts = EXCLUDED.created_ts
             WHERE present.event_ts IS NULL OR EXCLUDED.event_ts >= present.event_ts
             RETURNING entity_key
         )
         SELECT DISTINCT entity_key FROM written",
        table.full()
    )
}

/// An identifier, whatever is in it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted() {
        let table = Table { schema: "public", project: "a\"b", view: "v" };
        assert_eq!(table.full(), "\"public\".\"a\"\"b_v\"");
        assert!(create(&table, true).contains("vector_value vector NULL"));
        assert!(create(&table, false).contains("\"a\"\"b_v_ek\""));
    }
}
