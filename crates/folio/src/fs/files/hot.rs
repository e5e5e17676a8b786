//! The small files that were read lately, with their tags: bytes that are the same have the same tag, and to compare them takes a
//! tenth of what their sum takes. What is stored is read each time all the same; nothing here goes by time or name.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::read::SMALL;
use crate::etag::Etag;

/// Files that are held, each as large as [`SMALL`] at most: all together take 1 MiB.
const FILES: usize = 64;

/// A file and its tag, each in a place that its path tells.
#[derive(Debug)]
pub(in crate::fs) struct Hot {
    places: [Mutex<Option<(Bytes, Etag)>>; FILES],
}

impl Default for Hot {
    fn default() -> Self {
        Self { places: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl Hot {
    /// The tag of these bytes, which were read at `path`.
    pub(super) fn tag(&self, path: &str, bytes: &Bytes) -> Etag {
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        let place = usize::try_from(hasher.finish() % FILES as u64).ok().and_then(|place| self.places.get(place));
        let Some(place) = place.filter(|_| bytes.len() <= SMALL) else { return Etag::of(bytes) };
        let known = place.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some((same, etag)) if same == *bytes => etag,
            _ => {
                let etag = Etag::of(bytes);
                *place.lock().unwrap_or_else(PoisonError::into_inner) = Some((bytes.clone(), etag));
                etag
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_that_of_the_bytes_whatever_was_read_before() {
        let hot = Hot::default();
        let contents = [&b""[..], b"1", b"2", &[1; SMALL], &[2; SMALL], &[1; SMALL + 1]].map(Bytes::copy_from_slice);
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..20_000 {
            // More paths than places: some meet there.
            let (path, bytes) = (rng.u32(..200).to_string(), &contents[rng.usize(..contents.len())]);
            assert_eq!(hot.tag(&path, bytes), Etag::of(bytes));
        }
        let held = hot.places.iter().filter_map(|place| place.lock().unwrap().as_ref().map(|(bytes, _)| bytes.len()));
        assert!(held.max().unwrap() <= SMALL);
    }
}
