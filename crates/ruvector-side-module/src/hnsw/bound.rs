//! How near the vector of a code may be, as far as the code says: rows whose vectors may be nearer than one that was compared
//! have to be compared before that one is given.

use super::insert::Settings;
use super::kernel::Query;
use super::sq8;

/// Roundings to a step are as good as independent and random. So many standard deviations of their sum are allowed for; a
/// normal variable is beyond that once in three million times.
const DEVIATIONS: f64 = 5.0;
/// The root of 1/12: the standard deviation of a rounding, in steps.
const OF_ROUNDING: f64 = 0.288_675_13;
/// What rounding to half precision changes a number by, relatively, at most; and a little for that of the distance itself.
const OF_HALF: f64 = 1.01 / 2048.0;
/// What it changes a number by that is too small for that.
const OF_SMALL_HALF: f64 = 1e-7;

/// What is known of the error of a search's distances. Only of squared Euclidean ones there is something.
pub(super) enum Bound {
    /// Nothing: all have to be compared.
    Unknown,
    /// Of codes of one byte for each dimension: the step, and whether the query has numbers beyond those of codes.
    Sq8(f64, bool),
    /// Of half precision numbers: the length of the query, and what small numbers may change.
    F16(f64, f64),
    /// Of codes of one bit for each dimension.
    RaBitQ,
}

impl Bound {
    pub(super) fn new(settings: &Settings, query: &Query) -> Self {
        let Some(code) = query.code.as_ref().filter(|_| settings.is_l2()) else {
            return Self::Unknown;
        };
        if settings.is_rabitq() {
            return Self::RaBitQ;
        }
        if settings.is_sq8() {
            let is_beyond = sq8::is_beyond(settings.room as usize, code.bytes());
            return Self::Sq8(settings.step.into(), is_beyond);
        }
        if settings.is_f16() {
            let (mut square, mut largest) = (0f64, 0f64);
            for half in code.bytes().as_chunks().0 {
                let number =
                    f64::from(ruvector_core::F16::from_bits(u16::from_ne_bytes(*half)).to_f32());
                square += number * number;
                largest = largest.max(number.abs());
            }
            if largest < super::encode::LARGEST.into() {
                let count = (code.bytes().len() / 2) as f64;
                return Self::F16(sqrt(square), sqrt(count) * OF_SMALL_HALF);
            }
        }
        Self::Unknown
    }

    /// The least squared distance that the vector of a code may have, which has this place in the order of codes.
    pub(super) fn least_squared(&self, query: &Query, order: f32, code: &[u8]) -> f64 {
        let order = f64::from(order);
        match *self {
            Self::Unknown => f64::NEG_INFINITY,
            Self::Sq8(step, is_beyond) => {
                let Some(query) = &query.code else { return f64::NEG_INFINITY };
                let (length, query) = (code.len(), query.bytes());
                // Of the query all is known. Where a number of the vector was cut off, it is farther away.
                let mut squared = sq8::squared_steps(length, query, code);
                if is_beyond {
                    squared -= sq8::beyond_both(length, query, code);
                }
                step * step * (squared - DEVIATIONS * 2.0 * sqrt(squared) * OF_ROUNDING)
            }
            Self::F16(length, small) => {
                let distance = sqrt(order);
                // The vector is no longer than the query and the distance together.
                let least = distance - OF_HALF * (2.0 * length + distance) - small;
                least.max(0.0) * least.max(0.0)
            }
            Self::RaBitQ => order - query.error(code),
        }
    }
}

fn sqrt(x: f64) -> f64 {
    ruvector_core::sqrt(x.max(0.0))
}
