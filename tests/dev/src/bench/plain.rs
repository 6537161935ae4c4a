//! A table for people: names on the left, figures on the right.

/// One line of a bench's answer.
#[derive(Clone, Debug)]
pub struct Line {
    pub what: String,
    pub rows_per_second: f64,
    pub cpu_us_per_row: f64,
    pub peak_mib: f64,
}

impl Line {
    /// Of so many rows in so many seconds.
    pub fn of(what: &str, rows: u64, seconds: f64, cpu_seconds: f64, peak_mib: f64) -> Line {
        let rows = rows as f64;
        Line {
            what: what.to_owned(),
            rows_per_second: rows / seconds,
            cpu_us_per_row: cpu_seconds * 1e6 / rows,
            peak_mib,
        }
    }

    /// The round in the middle by rate, with the highest memory of all.
    pub fn median(mut lines: Vec<Line>) -> Line {
        lines.sort_by(|a, b| a.rows_per_second.total_cmp(&b.rows_per_second));
        let peak_mib = lines.iter().map(|line| line.peak_mib).fold(0.0, f64::max);
        let middle = lines.swap_remove(lines.len() / 2);
        Line { peak_mib, ..middle }
    }

    pub fn print(&self) {
        crate::say(&format!(
            "{:<34} {:>9.0} rows/s {:>8.2} µs CPU/row {:>8.1} MiB peak",
            self.what, self.rows_per_second, self.cpu_us_per_row, self.peak_mib
        ));
    }
}

/// Of several rounds.
pub fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// `what: 1.23 (bar: at least 0.80) ok`.
pub fn ratio(what: &str, value: f64, bar: f64, at_least: bool) {
    let held = if at_least { value >= bar } else { value <= bar };
    let (word, verdict) = (if at_least { "at least" } else { "at most" }, if held { "ok" } else { "MISSED" });
    crate::say(&format!("{what:<52} {value:>9.3}  (bar: {word} {bar}) {verdict}"));
}
