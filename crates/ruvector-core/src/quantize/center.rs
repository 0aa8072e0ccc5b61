//! The centre of a sample.

use alloc::vec::Vec;

use crate::distance::l2_norm;
use crate::error::{Error, Result};

/// How many times as long as half of the vectors one may be that counts. Without a bound, one vector could put the centre
/// where no other is.
const LONGEST: f64 = 10.0;

/// The mean of vectors of so many dimensions, without those that are not finite or far longer than others.
///
/// # Errors
/// [`Error::OutOfMemory`].
pub fn center<'a>(
    sample: impl Iterator<Item = &'a [f32]> + Clone,
    dimensions: usize,
) -> Result<Vec<f32>> {
    let mut lengths: Vec<f64> = Vec::new();
    lengths.try_reserve_exact(sample.clone().count())?;
    lengths.extend(sample.clone().map(l2_norm).filter(|length| length.is_finite()));
    let longest = if lengths.is_empty() {
        0.0
    } else {
        let middle = lengths.len() / 2;
        *lengths.select_nth_unstable_by(middle, f64::total_cmp).1 * LONGEST
    };
    // Where half of the vectors are zero, no length is too long.
    let longest = if longest > 0.0 { longest } else { f64::MAX };

    let mut sums: Vec<f64> = Vec::new();
    sums.try_reserve_exact(dimensions)?;
    sums.resize(dimensions, 0.0);
    let mut count = 0usize;
    for vector in sample.filter(|vector| l2_norm(*vector) <= longest) {
        count += 1;
        sums.iter_mut().zip(vector).for_each(|(sum, &x)| *sum += f64::from(x));
    }
    let mut center = Vec::new();
    center.try_reserve_exact(dimensions).map_err(Error::from)?;
    center.extend(sums.iter().map(|sum| (sum / count.max(1) as f64) as f32));
    Ok(center)
}

#[cfg(test)]
mod tests {
    use super::center;

    fn of(vectors: &[[f32; 2]]) -> [f32; 2] {
        center(vectors.iter().map(|vector| &vector[..]), 2).unwrap().try_into().unwrap()
    }

    #[test]
    fn centers() {
        assert_eq!(of(&[]), [0.0, 0.0]);
        assert_eq!(of(&[[1.0, 2.0], [3.0, 4.0]]), [2.0, 3.0]);
        assert_eq!(
            of(&[[1.0, 2.0], [3.0, 4.0], [f32::NAN, 1.0], [1.0, f32::INFINITY]]),
            [2.0, 3.0]
        );
        assert_eq!(of(&[[1.0, 2.0], [3.0, 4.0], [2.0, 3.0], [1e30, 1e30]]), [2.0, 3.0]);
        assert_eq!(of(&[[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [4.0, 8.0]]), [1.0, 2.0]);
    }
}
