//! Parts of files.

use std::ops::Range;

use folio::{BlobStoreExt, Etag, FileRange, FileReadOptions, WriteCondition};
use futures_util::StreamExt;

use crate::case::cases;
use crate::ctx::Ctx;
use crate::failure::{Failure, Outcome};
use crate::make::{path, written};
use crate::wait::within;

cases! { "ranges":
    a_range_is_cut_to_the_file,
    ranges_of_an_empty_file_are_empty,
    a_range_of_a_large_file,
    a_range_of_what_is_not_there,
}

/// Range → the bytes meant, of a file of 10.
const TABLE: &[(FileRange, Range<u64>)] = &[
    (FileRange::Whole, 0..10),
    (FileRange::Span(0, 10), 0..10),
    (FileRange::Span(0, 1), 0..1),
    (FileRange::Span(3, 7), 3..7),
    (FileRange::Span(9, 10), 9..10),
    (FileRange::Span(8, 100), 8..10),
    (FileRange::Span(0, u64::MAX), 0..10),
    (FileRange::Span(5, 5), 5..5),
    (FileRange::Span(7, 3), 7..7),
    (FileRange::Span(10, 20), 10..10),
    (FileRange::Span(15, 20), 10..10),
    (FileRange::From(0), 0..10),
    (FileRange::From(4), 4..10),
    (FileRange::From(10), 10..10),
    (FileRange::From(99), 10..10),
    (FileRange::Last(3), 7..10),
    (FileRange::Last(10), 0..10),
    (FileRange::Last(99), 0..10),
    (FileRange::Last(0), 10..10),
];

async fn read(files: &std::sync::Arc<dyn folio::BlobStore>, range: FileRange) -> Outcome<(folio::FileInfo, Range<u64>, Vec<u8>)> {
    let read = files.read(&path("a"), FileReadOptions { range, etag: false }).await?;
    let mut read = read.ok_or_else(|| Failure::new("the file is not there"))?;
    let mut bytes = Vec::new();
    while let Some(piece) = within("the next piece", read.body.next()).await? {
        bytes.extend(piece?);
    }
    Ok((read.info, read.range, bytes))
}

async fn a_range_is_cut_to_the_file(ctx: Ctx) -> Outcome {
    let files = ctx.project().await?.files();
    let whole = b"0123456789";
    written(files.write_bytes(&path("a"), &whole[..], WriteCondition::None).await?)?;
    for (range, meant) in TABLE {
        let (info, told, bytes) = read(&files, *range).await?;
        assert_eq!(&told, meant, "{range:?}");
        let expected: Vec<u8> =
            whole.iter().copied().skip(meant.start as usize).take((meant.end - meant.start) as usize).collect();
        assert_eq!(bytes, expected, "{range:?}");
        assert_eq!((info.size, info.etag), (10, Some(Etag::of(whole))), "{range:?}: size and tag are those of the whole");
    }
    Ok(())
}

async fn ranges_of_an_empty_file_are_empty(ctx: Ctx) -> Outcome {
    let files = ctx.project().await?.files();
    written(files.write_bytes(&path("a"), "", WriteCondition::None).await?)?;
    for range in [FileRange::Whole, FileRange::Span(0, 1), FileRange::Span(2, 3), FileRange::From(0), FileRange::Last(5)] {
        let (info, told, bytes) = read(&files, range).await?;
        assert_eq!((info.size, told, bytes), (0, 0..0, Vec::new()), "{range:?}");
    }
    Ok(())
}

async fn a_range_of_a_large_file(ctx: Ctx) -> Outcome {
    let files = ctx.project().await?.files();
    let whole: Vec<u8> = (0..3_000_000_u32).map(|n| (n ^ (n >> 8) ^ (n >> 16)) as u8).collect();
    written(files.write_bytes(&path("a"), whole.clone(), WriteCondition::None).await?)?;
    for (from, to) in [(0, 1), (65_535, 65_537), (999_999, 2_500_001), (2_999_999, 3_000_000)] {
        let (info, told, bytes) = read(&files, FileRange::Span(from, to)).await?;
        assert_eq!((info.size, told), (3_000_000, from..to));
        assert!(Some(&bytes[..]) == whole.get(from as usize..to as usize), "the bytes {from} to {to} differ");
    }
    Ok(())
}

async fn a_range_of_what_is_not_there(ctx: Ctx) -> Outcome {
    let files = ctx.project().await?.files();
    for range in [FileRange::Whole, FileRange::Span(0, 1), FileRange::From(1), FileRange::Last(5)] {
        assert!(files.read(&path("a"), FileReadOptions { range, etag: true }).await?.is_none(), "{range:?}");
    }
    Ok(())
}
