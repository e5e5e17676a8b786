//! What the fuzz targets share.

pub mod image;
pub mod reading;
pub mod scratch;
pub mod sums;
