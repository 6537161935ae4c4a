//! Sum and average of integers and decimals: exact, and exactly retracted. Pure.

use crate::model::decimal::Decimal;
use crate::model::value::Value;

/// The sum of the values that are in; order does not matter, as nothing is rounded.
#[derive(Clone, Debug, Default)]
pub struct Total {
    count: u64,
    whole: i128,
    decimal: Option<Decimal>,
    /// The most digits after the point among the decimals, and how many have that many: PostgreSQL's
    /// quotient depends on it.
    scale: u32,
    at_scale: u64,
}

impl Total {
    /// False if the value is a double, which this cannot hold.
    pub fn add(&mut self, value: &Value) -> bool {
        match value {
            // 2^63 rows of 64 bits each do not overflow 128.
            Value::Int(n) => self.whole += i128::from(*n),
            Value::Decimal(n) => {
                match n.scale().cmp(&self.scale) {
                    std::cmp::Ordering::Greater => (self.scale, self.at_scale) = (n.scale(), 1),
                    std::cmp::Ordering::Equal => self.at_scale += 1,
                    std::cmp::Ordering::Less => {}
                }
                match &mut self.decimal {
                    Some(sum) => *sum = sum.plus(n),
                    None => self.decimal = Some(n.clone()),
                }
            }
            _ => return false,
        }
        self.count += 1;
        true
    }

    /// Takes back a value that is in. False if that cannot be done exactly: the last value of its scale
    /// goes, and the scale of what is left is not known.
    pub fn remove(&mut self, value: &Value) -> bool {
        match value {
            Value::Int(n) => self.whole -= i128::from(*n),
            Value::Decimal(n) => {
                if n.scale() == self.scale {
                    self.at_scale = self.at_scale.saturating_sub(1);
                    if self.at_scale == 0 && self.count > 1 {
                        return false;
                    }
                }
                if let Some(sum) = &mut self.decimal {
                    *sum = sum.plus(&n.negated());
                }
            }
            _ => return false,
        }
        self.count = self.count.saturating_sub(1);
        if self.count == 0 {
            *self = Total::default();
        }
        true
    }

    fn exact(&self) -> Decimal {
        let whole = Decimal::new(self.whole, 0);
        match &self.decimal {
            Some(sum) if self.whole == 0 => sum.clone(),
            Some(sum) => sum.plus(&whole),
            None => whole,
        }
    }

    pub fn sum(&self) -> Value {
        if self.count == 0 { Value::Null } else { Value::Decimal(self.exact()) }
    }

    pub fn average(&self) -> Value {
        if self.count == 0 { Value::Null } else { Value::Decimal(self.exact().divided_by(self.count)) }
    }
}
