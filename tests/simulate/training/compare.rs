//! Spines of what was served, and training sets against it.

use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{ByteArrayType, Int64Type};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::record::Field;
use parquet::schema::types::Type;
use serde_json::{Map, Value as Json, json};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// What one entity was answered.
#[derive(Clone, Debug)]
pub struct Served {
    pub at_us: i64,
    pub user: Json,
    pub shop: Json,
    /// `view__feature` → value and status.
    pub values: Vec<(String, Json, String)>,
}

impl Served {
    pub fn read(at_us: i64, user: Json, shop: Json, answer: &Json, place: usize) -> Served {
        let names = answer["metadata"]["feature_names"].as_array().expect("names");
        let results = answer["results"].as_array().expect("results");
        let one = |(name, result): (&Json, &Json)| {
            let name = name.as_str().expect("a name").to_owned();
            let status = result["statuses"][place].as_str().expect("a status").to_owned();
            name.contains("__").then(|| (name, result["values"][place].clone(), status))
        };
        Served { at_us, user, shop, values: names.iter().zip(results).filter_map(one).collect() }
    }
}

/// What there was to compare: a test that compares nothing proves nothing.
#[derive(Debug, Default)]
pub struct Tally {
    present: usize,
    null: usize,
    absent: usize,
    aged: usize,
    lists: usize,
}

impl Tally {
    fn count(&mut self, value: &Json, status: &str) {
        match status {
            "PRESENT" => self.present += 1,
            "NULL_VALUE" => self.null += 1,
            "NOT_FOUND" => self.absent += 1,
            "OUTSIDE_MAX_AGE" => self.aged += 1,
            other => panic!("status {other}"),
        }
        self.lists += usize::from(value.is_array());
    }

    pub fn is_telling(&self) -> bool {
        self.present > 1_000 && [self.null, self.absent, self.aged, self.lists].iter().all(|n| *n > 100)
    }
}

pub fn write_csv(path: &Path, served: &[Served]) {
    let mut writer = csv::Writer::from_path(path).expect("a file");
    writer.write_record(["label", "user_id", "event_timestamp", "shop", "postcode"]).expect("written");
    for (at, one) in served.iter().enumerate() {
        let user = one.user.as_i64().map_or(String::new(), |user| user.to_string());
        let (second, micros) = (one.at_us / 1_000_000, one.at_us % 1_000_000);
        let second = jiff_text(second);
        let row = [
            format!("{}.5", at),
            user,
            format!("{second}.{micros:06}Z"),
            one.shop.as_str().expect("a shop").to_owned(),
            format!("{at:05}"),
        ];
        writer.write_record(row).expect("written");
    }
    writer.flush().expect("written");
}

/// A second of 2023 as a date and a time of day.
fn jiff_text(second: i64) -> String {
    let (day, of_day) = (second.div_euclid(86_400), second.rem_euclid(86_400));
    // 2023-11-14 is day 19675.
    let day = 14 + (day - 19_675);
    assert!((14..=30).contains(&day), "the run is short");
    format!("2023-11-{day:02}T{:02}:{:02}:{:02}", of_day / 3_600, of_day / 60 % 60, of_day % 60)
}

pub fn write_parquet(path: &Path, served: &[Served]) {
    let column = |name: &str, physical, logical| {
        let built = Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
        Arc::new(built.with_logical_type(logical).build().expect("a type"))
    };
    // As pandas writes its times.
    let nanos = LogicalType::timestamp(true, TimeUnit::NANOS);
    let fields = vec![
        column("event_timestamp", Physical::INT64, Some(nanos)),
        column("user_id", Physical::INT64, None),
        column("shop", Physical::BYTE_ARRAY, Some(LogicalType::String)),
        column("label", Physical::INT64, None),
    ];
    let schema = Arc::new(Type::group_type_builder("schema").with_fields(fields).build().expect("a schema"));
    let file = File::create(path).expect("a file");
    let mut writer = SerializedFileWriter::new(file, schema, Arc::default()).expect("a writer");
    for part in served.chunks(100) {
        let mut group = writer.next_row_group().expect("a group");
        let numbers = [
            part.iter().map(|one| Some(one.at_us * 1_000)).collect::<Vec<_>>(),
            part.iter().map(|one| one.user.as_i64()).collect(),
        ];
        for numbers in numbers {
            put(&mut group, &numbers);
        }
        let shops: Vec<_> = part.iter().map(|one| one.shop.as_str().expect("a shop").into()).collect();
        let mut shop = group.next_column().expect("a column").expect("a column");
        shop.typed::<ByteArrayType>()
            .write_batch(&shops, Some(&vec![1; shops.len()]), None)
            .expect("written");
        shop.close().expect("written");
        put(&mut group, &vec![Some(7); part.len()]);
        group.close().expect("written");
    }
    writer.close().expect("written");
}

fn put(group: &mut parquet::file::writer::SerializedRowGroupWriter<'_, File>, cells: &[Option<i64>]) {
    let mut column = group.next_column().expect("a column").expect("a column");
    let values: Vec<i64> = cells.iter().flatten().copied().collect();
    let levels: Vec<i16> = cells.iter().map(|cell| i16::from(cell.is_some())).collect();
    column.typed::<Int64Type>().write_batch(&values, Some(&levels), None).expect("written");
    column.close().expect("written");
}

/// A training set's rows; doubles as their bits, times as the seconds that the feature server gives.
pub fn rows(path: &Path) -> Vec<Map<String, Json>> {
    let reader = SerializedFileReader::new(File::open(path).expect("the file")).expect("Parquet");
    let rows = reader.get_row_iter(None).expect("rows");
    let row = |row: parquet::record::Row| {
        row.into_columns().into_iter().map(|(name, field)| (name, cell(field))).collect()
    };
    rows.map(|one| row(one.expect("a row"))).collect()
}

fn cell(field: Field) -> Json {
    match field {
        Field::Null => Json::Null,
        Field::Long(n) => json!(n),
        Field::Double(n) => bits(n),
        Field::Str(text) => json!(text),
        Field::Bool(truth) => json!(truth),
        Field::TimestampMicros(n) => json!(n.div_euclid(1_000_000)),
        Field::ListInternal(list) => list.elements().iter().cloned().map(cell).collect(),
        other => panic!("{other:?}"),
    }
}

fn bits(n: f64) -> Json {
    json!(format!("{:016x} {n}", n.to_bits()))
}

/// As [`rows`] gives it, where the set has doubles.
fn served(value: &Json, got: &Json) -> Json {
    match (value, got) {
        (Json::Array(values), Json::Array(got)) if values.len() == got.len() => {
            values.iter().zip(got).map(|(value, got)| served(value, got)).collect()
        }
        (Json::Number(n), Json::String(_)) => bits(n.as_f64().expect("a double")),
        (other, _) => other.clone(),
    }
}

/// Fails at the first value that is not what was served.
pub fn equal(path: &Path, all: &[Served], tally: &mut Tally) {
    let rows = rows(path);
    assert_eq!(rows.len(), all.len());
    for (at, (row, one)) in rows.iter().zip(all).enumerate() {
        assert_eq!(row["user_id"], one.user, "row {at} keeps its place");
        assert_eq!(row["shop"], one.shop, "row {at} keeps its place");
        for (name, value, status) in &one.values {
            tally.count(value, status);
            let got = row.get(name).unwrap_or_else(|| panic!("no column {name}"));
            assert_eq!(
                *got,
                served(value, got),
                "row {at}: {name} ({status}) at {} of {}",
                one.at_us,
                one.user
            );
        }
    }
}
