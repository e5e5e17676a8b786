//! Memory that a medium can read from by itself.

/// What is written past the system's memory begins at a multiple of this: a page, which is enough for every medium.
const PAGE: usize = 4096;

/// A buffer whose bytes begin at a page.
#[derive(Default)]
pub(super) struct PageBuffer {
    memory: Vec<u8>,
}

impl PageBuffer {
    /// The `bytes` bytes that `fill` adds to what it is given.
    pub(super) fn fill(&mut self, bytes: u64, fill: impl FnOnce(&mut Vec<u8>)) -> &[u8] {
        self.memory.clear();
        // Filling must not move it.
        self.memory.reserve(usize::try_from(bytes).unwrap_or(usize::MAX).saturating_add(PAGE));
        let begin = self.memory.as_ptr().align_offset(PAGE).min(PAGE);
        self.memory.resize(begin, 0);
        fill(&mut self.memory);
        self.memory.get(begin..).unwrap_or_default()
    }

    /// Gives the memory back where it is more than `most` bytes.
    pub(super) fn shrink(&mut self, most: usize) {
        if self.memory.capacity() > most {
            self.memory = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_begin_at_a_page_however_many_there_are() {
        let mut buffer = PageBuffer::default();
        for bytes in [0_usize, 1, 512, 4096, 4097, 100_000, 512, 3 << 20, 1024] {
            let filled = buffer.fill(bytes as u64, |out| out.extend(std::iter::repeat_n(7, bytes)));
            assert_eq!((filled.len(), filled.as_ptr().align_offset(PAGE)), (bytes, 0), "{bytes}");
            assert!(filled.iter().all(|byte| *byte == 7));
            buffer.shrink(1 << 20);
            assert!(buffer.memory.capacity() <= 1 << 20);
        }
    }
}
