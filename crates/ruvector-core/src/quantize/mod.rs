//! Codes that stand for vectors in fewer bytes, and distances between them.
//!
//! | code | bytes per dimension | distances |
//! |---|---|---|
//! | [`Sq8`] | 1 | approximate, from integers |
//! | [`RaBitQ`] | 1/8, and 16 per vector | estimates with a bound of their error |
//! | [`crate::ops::binary_quantize`] | 1/8 | Hamming distance of signs |

mod center;
mod packed;
mod rabitq;
mod rotation;
mod sq8;

pub use center::center;
pub use packed::{Packing, pack, unpack};
pub use rabitq::{Estimate, RaBitQ, RaBitQCode, RaBitQCodeRef, RaBitQQuery, RaBitQQueryRef};
pub use sq8::{Sq8, Sq8Code, Sq8CodeRef, encode_numbers};
