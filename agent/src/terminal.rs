//! The status document as a person reads it at a terminal.

use serde_json::Value as Json;
use std::fmt::Write;

const KIB: f64 = 1_024.0;

/// A few lines, then a table of partitions.
pub fn table(document: &Json) -> String {
    let mut out = String::new();
    let mut line = |name: &str, text: String| {
        // Writing into a string does not fail.
        let _ = writeln!(out, "{name:<10} {text}");
    };
    line("agent", state(document));
    line("buffer", buffer(&document["buffer"]));
    line("file", file(&document["file"]));
    for damaged in document["file"]["damaged"].as_array().into_iter().flatten() {
        let (topic, why) = (text(&damaged["topic"]), text(&damaged["why"]));
        line("DAMAGED", format!("{topic} {} offset {}: {why}", damaged["partition"], damaged["offset"]));
    }
    let refused = counts(&document["refused_batches"]);
    if !refused.is_empty() {
        line("refused", format!("batches: {refused}"));
    }
    for (name, way) in [("consume", consume as fn(&Json) -> String), ("forward", forward)] {
        let place = &document[name];
        if place.is_object() {
            line(name, way(place));
        }
        for stopped in place["partitions"].as_array().into_iter().flatten() {
            if let Some(why) = stopped["error"].as_str() {
                let (topic, partition) = (text(&stopped["topic"]), &stopped["partition"]);
                line("STOPPED", format!("{name}: {topic} {partition}: {why}"));
            }
        }
    }
    for target in document["sync"].as_array().into_iter().flatten() {
        line("sync", sync(target));
    }
    let quarantined = counts(&document["quarantined"]);
    if !quarantined.is_empty() {
        line("quarantine", quarantined);
    }
    for view in document["feature_views"].as_array().into_iter().flatten() {
        let hydrating = if view["hydrating"] == true { ", hydrating" } else { "" };
        line("view", format!("{}: {} entities{hydrating}", text(&view["name"]), view["entities"]));
    }
    partitions(document, &mut out);
    out
}

fn consume(consume: &Json) -> String {
    let mut out =
        format!("from {}: {} records since the start", text(&consume["brokers"]), consume["records"]);
    let missing: Vec<&str> = consume["missing_topics"].as_array().into_iter().flatten().map(text).collect();
    if !missing.is_empty() {
        let _ = write!(out, ", not there: {}", missing.join(", "));
    }
    away(consume, &mut out);
    out
}

fn forward(forward: &Json) -> String {
    let to_go = bytes(forward["bytes_to_go"].as_f64().unwrap_or_default());
    let (brokers, records) = (text(&forward["brokers"]), &forward["records_to_go"]);
    let mut out = format!("to {brokers}: {records} records ({to_go}) to go");
    if let Some(rate) = forward["records_per_second"].as_f64().filter(|rate| *rate > 0.0) {
        let _ = write!(out, ", {rate} a second");
    }
    if let Some(seconds) = forward["seconds_to_go"].as_i64().filter(|seconds| *seconds > 0) {
        let _ = write!(out, ", caught up in {}", duration(seconds));
    }
    if forward["open"] == false {
        out.push_str(", closed by the schedule");
    }
    if forward["ended"] == true {
        out.push_str(", ENDED until a restart");
    }
    away(forward, &mut out);
    out
}

fn away(way: &Json, out: &mut String) {
    if let Some(error) = way["error"].as_str() {
        let _ = write!(out, ", AWAY: {error}");
    }
    if let Some(remedy) = way["remedy"].as_str() {
        let _ = write!(out, " ({remedy})");
    }
}

fn sync(target: &Json) -> String {
    let (name, kind, address) = (text(&target["name"]), text(&target["kind"]), text(&target["address"]));
    let mut out = format!("{name} ({kind} {address}): {} waiting", target["waiting"]);
    if let Some(lag_ms) = target["lag_ms"].as_i64().filter(|ms| *ms >= 1_000) {
        let _ = write!(out, ", oldest {}", duration(lag_ms / 1_000));
    }
    if target["refused"].as_i64().is_some_and(|refused| refused > 0) {
        let _ = write!(out, ", {} REFUSED (`tidegate-agent sync list`)", target["refused"]);
    }
    away(target, &mut out);
    out
}

fn state(document: &Json) -> String {
    let version = text(&document["version"]);
    if document["running"] == false {
        let how = match document["file"]["clean_stop"] == true {
            true => "stopped cleanly",
            false => "stopped, not cleanly: the next start checks the file",
        };
        return format!("{version}, {how}");
    }
    match (document["ready"] == true, document["waiting"].as_str()) {
        (true, _) => format!("{version}, ready"),
        (false, Some(why)) => format!("{version}, waits: {why}"),
        (false, None) => format!("{version}, not ready (see /readyz)"),
    }
}

fn buffer(buffer: &Json) -> String {
    let (Some(used), Some(max)) = (buffer["used_bytes"].as_f64(), buffer["max_bytes"].as_f64()) else {
        return "unknown".to_owned();
    };
    let mut out = format!("{} of {} ({:.0} %)", bytes(used), bytes(max), used / max.max(1.0) * 100.0);
    if buffer["full"] == true {
        out.push_str(", FULL: producers are told to try again");
    }
    if let Some(hours) = buffer["hours_until_full"].as_f64() {
        let rate = bytes(buffer["growth_bytes_per_s"].as_f64().unwrap_or_default());
        let _ = write!(out, ", full in {hours} h at {rate}/s");
    }
    if let Some(age) = buffer["oldest_age_s"].as_i64() {
        let _ = write!(out, ", oldest record {}", duration(age));
    }
    out
}

fn file(file: &Json) -> String {
    let mut out = Vec::new();
    for (key, what) in [
        ("bytes", "in all"),
        ("free_bytes", "free in it"),
        ("log_bytes", "of log"),
        ("disk_free_bytes", "free on disk"),
    ] {
        if let Some(count) = file[key].as_f64() {
            out.push(format!("{} {what}", bytes(count)));
        }
    }
    match (file["scrubbed_ms"].as_i64(), file["scrubbing_bytes"].as_f64()) {
        (Some(ms), _) => out.push(format!("checksums gone through {}", time(ms))),
        (None, Some(done)) => out.push(format!("checksums: {} gone through", bytes(done))),
        (None, None) => {}
    }
    out.join(", ")
}

fn partitions(document: &Json, out: &mut String) {
    let head = ["TOPIC", "PARTITION", "RECORDS", "BYTES", "LAG", "OLDEST", ""];
    let mut rows: Vec<[String; 7]> = vec![head.map(str::to_owned)];
    for topic in document["topics"].as_array().into_iter().flatten() {
        for (index, one) in topic["partitions"].as_array().into_iter().flatten().enumerate() {
            rows.push([
                text(&topic["name"]).to_owned(),
                index.to_string(),
                one["records"].to_string(),
                bytes(one["bytes"].as_f64().unwrap_or_default()),
                one["lag"].as_i64().map_or("-".to_owned(), |lag| lag.to_string()),
                one["oldest_age_s"].as_i64().map_or("-".to_owned(), duration),
                one["error"].as_str().unwrap_or_default().to_owned(),
            ]);
        }
    }
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..head.len()).map(|column| width(column).unwrap_or_default()).collect();
    out.push('\n');
    for row in &rows {
        let mut line = String::new();
        for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
            // Names to the left, numbers to the right.
            let _ = match at {
                0 | 6 => write!(line, "{cell:<width$}  "),
                _ => write!(line, "{cell:>width$}  "),
            };
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

fn text(value: &Json) -> &str {
    value.as_str().unwrap_or("?")
}

/// What is above zero.
fn counts(map: &Json) -> String {
    let counted = map.as_object().into_iter().flatten().filter(|(_, count)| count.as_u64() != Some(0));
    counted.map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}

fn bytes(count: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut left = count;
    let mut unit = "B";
    for name in units {
        unit = name;
        if left.abs() < KIB {
            break;
        }
        if name != "TiB" {
            left /= KIB;
        }
    }
    if unit == "B" { format!("{left:.0} {unit}") } else { format!("{left:.1} {unit}") }
}

fn duration(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms)
        .map_or("?".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn units() {
        for (count, want) in [(0.0, "0 B"), (1_023.0, "1023 B"), (1_536.0, "1.5 KiB"), (8.6e9, "8.0 GiB")] {
            assert_eq!(bytes(count), want);
        }
        for (seconds, want) in [(5, "5 s"), (600, "10 min"), (7_200, "2 h"), (259_200, "3 d")] {
            assert_eq!(duration(seconds), want);
        }
    }

    #[test]
    fn a_full_buffer_and_a_damaged_batch_are_seen() {
        let partition = json!({"records": 12, "bytes": 2048, "lag": 3, "oldest_age_s": 7200, "error": null});
        let document = json!({
            "version": "1", "ready": true,
            "buffer": {"used_bytes": 1024, "max_bytes": 2048, "full": true, "hours_until_full": 1.5,
                       "growth_bytes_per_s": 2048.0, "oldest_age_s": 7200},
            "file": {"bytes": 4096, "damaged": [{"topic": "t", "partition": 0, "offset": 7, "why": "w"}]},
            "refused_batches": {"full": 2, "epoch": 0},
            "consume": {"brokers": "c:9092", "records": 5, "missing_topics": ["x"], "error": null, "partitions": [
                {"topic": "y", "partition": 1, "error": "e"}, {"topic": "z", "partition": 0, "error": null}]},
            "forward": {"brokers": "c:9092", "open": true, "ended": false, "records_per_second": 7.0,
                        "records_to_go": 3000, "bytes_to_go": 4096, "seconds_to_go": 600, "error": "no answer",
                        "remedy": "look", "partitions": []},
            "topics": [{"name": "shop.orders", "partitions": [partition]}]
        });
        let want = "agent      1, ready\n\
                    buffer     1.0 KiB of 2.0 KiB (50 %), FULL: producers are told to try again, full in 1.5 h at \
                    2.0 KiB/s, oldest record 2 h\n\
                    file       4.0 KiB in all\n\
                    DAMAGED    t 0 offset 7: w\n\
                    refused    batches: full 2\n\
                    consume    from c:9092: 5 records since the start, not there: x\n\
                    STOPPED    consume: y 1: e\n\
                    forward    to c:9092: 3000 records (4.0 KiB) to go, 7 a second, caught up in 10 min, \
                    AWAY: no answer (look)\n\
                    \n\
                    TOPIC        PARTITION  RECORDS    BYTES  LAG  OLDEST\n\
                    shop.orders          0       12  2.0 KiB    3     2 h\n";
        assert_eq!(table(&document), want);
        let stopped = table(&json!({"version": "1", "running": false, "file": {"clean_stop": false}}));
        assert!(stopped.contains("not cleanly"), "{stopped}");
    }
}
