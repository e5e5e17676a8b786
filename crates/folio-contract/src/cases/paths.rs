//! Paths of files: folders and files in each other's way, and odd names.

use folio::{BlobStoreExt, Error, FileListOptions, FileReadOptions, WriteCondition};

use crate::case::cases;
use crate::ctx::Ctx;
use crate::failure::Outcome;
use crate::make::{path, refused, was_there, written};

cases! { "paths":
    a_folder_is_in_the_way_of_a_file,
    a_file_is_in_the_way_of_a_folder,
    what_is_in_the_way_stays_as_it_was,
    a_folder_is_no_file,
    nothing_is_below_a_file,
    a_delete_takes_emptied_folders_along,
    a_delete_leaves_folders_that_hold_something,
    odd_names_are_kept,
    long_paths_are_kept,
    names_that_look_alike_are_not_merged,
}

async fn a_folder_is_in_the_way_of_a_file(ctx: Ctx) -> Outcome {
    let files = ctx.project().await?.files();
    written(files.write_bytes(&path("a/b/c"), "x", WriteCondition::None).await?)?;
    for folder in ["a", "a/b"] {
        for condition in [WriteCondition::None, WriteCondition::Absent] {
            let error = refused(files.write_bytes(&path(folder), "y", condition).await, "path_conflict")?;
            let Error::PathConflict { path, .. } = error else { crate::fail!("{error:?} has the code path_conflict") };
            assert_eq!(path, folder);
        }
    }
    Ok(())
}

async fn a_file_is_in_the_way_of_a_folder(ctx: Ctx) -> Outcome {
    let files = ctx.project().await?.files();
    written(files.write_bytes(&path("a/b"), "x", WriteCondition::None).await?)?;
    for below in ["a/b/c", "a/b/c/d/e"] {
        let error = refused(files.write_bytes(&path(below), "y", WriteCondition::None).await, "path_conflict")?;
        let Error::PathConflict { path, .. } = error else { crate::fail!("{error:?} has the code path_conflict") };
        assert_eq!(path, below);
    }
    Ok(())
}

async fn what_is_in_the_way_stays_as_it_was(ctx: Ctx) -> Outcome {
    let files = ctx.project().await?.files();
    written(files.write_bytes(&path("a/b"), "x", WriteCondition::None).await?)?;
    refused(files.write_bytes(&path("a"), "y", WriteCondition::None).await, "path_conflict")?;
    refused(files.write_bytes(&path("a/b/c"), "y", WriteCondition::None).await, "path_conflict")?;
    let list = files.list(FileListOptions::default()).await?;
    assert_eq!(list.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["a/b"]);
    assert_eq!(files.read_text(&path("a/b")).await?.as_deref(), Some("x"));
    Ok(())
}

async fn a_folder_is_no_file(ctx: Ctx) -> Outcome {
    let files = ctx.project().await?.files();
    written(files.write_bytes(&path("a/b/c"), "x", WriteCondition::None).await?)?;
    for folder in ["a", "a/b"] {
        assert_eq!(files.stat(&path(folder), true).await?, None);
        assert!(files.read(&path(folder), FileReadOptions::default()).await?.is_none());
        assert!(!was_there(files.delete(&path(folder), WriteCondition::None).await?)?);
    }
    assert!(files.exists(&path("a/b/c")).await?);
    Ok(())
}

async fn nothing_is_below_a_file(ctx: Ctx) -> Outcome {
    let files = ctx.project().await?.files();
    written(files.write_bytes(&path("a"), "x", WriteCondition::None).await?)?;
    for below in ["a/b", "a/b/c"] {
        assert_eq!(files.stat(&path(below), true).await?, None);
        assert!(files.read(&path(below), FileReadOptions::default()).await?.is_none());
        assert!(!was_there(files.delete(&path(below), WriteCondition::None).await?)?);
    }
    let list = files.list(FileListOptions { folder: Some(path("a")), ..FileListOptions::default() }).await?;
    assert_eq!(list.files, []);
    Ok(())
}

async fn a_delete_takes_emptied_folders_along(ctx: Ctx) -> Outcome {
    let files = ctx.project().await?.files();
    for name in ["a/b/c/d", "x/y"] {
        written(files.write_bytes(&path(name), "1", WriteCondition::None).await?)?;
        was_there(files.delete(&path(name), WriteCondition::None).await?)?;
    }
    // were there folders, no files could stand here
    for name in ["a", "x"] {
        written(files.write_bytes(&path(name), "2", WriteCondition::Absent).await?)?;
    }
    Ok(())
}

async fn a_delete_leaves_folders_that_hold_something(ctx: Ctx) -> Outcome {
    let files = ctx.project().await?.files();
    for name in ["a/keep", "a/b/c"] {
        written(files.write_bytes(&path(name), "1", WriteCondition::None).await?)?;
    }
    was_there(files.delete(&path("a/b/c"), WriteCondition::None).await?)?;
    assert_eq!(files.read_text(&path("a/keep")).await?.as_deref(), Some("1"));
    refused(files.write_bytes(&path("a"), "2", WriteCondition::None).await, "path_conflict")?;
    written(files.write_bytes(&path("a/b"), "2", WriteCondition::Absent).await?)?;
    Ok(())
}

const ODD: &[&str] = &[
    " ",
    "a b",
    " leading",
    "trailing ",
    "trailing.",
    "a..b",
    "~",
    "-rf",
    "100%",
    "%2e%2e",
    "%2Fetc",
    "a+b&c=d?e#f",
    "semi;colon,comma",
    "quo\"te'd",
    "back\\slash",
    "a:b",
    "con",
    "NUL.txt",
    "star*",
    "<script>",
    "line\nbreak",
    "tab\tand\r",
    "\u{1}\u{7f}",
    "ünï/cödé",
    "日本語/ファイル.txt",
    "😀",
    "\u{200b}\u{202e}",
    "node_modules/x",
    "meta/x",
    "files",
    "index.html",
];

async fn odd_names_are_kept(ctx: Ctx) -> Outcome {
    let files = ctx.project().await?.files();
    for name in ODD {
        written(files.write_bytes(&path(name), *name, WriteCondition::Absent).await?)?;
    }
    for name in ODD {
        assert_eq!(files.read_text(&path(name)).await?.as_deref(), Some(*name), "{name:?}");
    }
    let mut expected = ODD.to_vec();
    expected.sort_unstable();
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let list = files.list(FileListOptions { limit: 5, after, ..FileListOptions::default() }).await?;
        listed.extend(list.files.into_iter().map(|file| file.path.as_str().to_owned()));
        after = list.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(listed, expected);
    for name in ODD {
        assert!(was_there(files.delete(&path(name), WriteCondition::Exists).await?)?, "{name:?}");
    }
    Ok(())
}

async fn long_paths_are_kept(ctx: Ctx) -> Outcome {
    let files = ctx.project().await?.files();
    let segment = "s".repeat(255);
    let deep = format!("{}x", "d/".repeat(200));
    let whole = format!("{}{}/u", format!("{}/", "x".repeat(255)).repeat(11), "t".repeat(254));
    for name in [&segment, &deep, &whole] {
        written(files.write_bytes(&path(name), name.clone(), WriteCondition::Absent).await?)?;
        assert_eq!(files.read_text(&path(name)).await?.as_ref(), Some(name));
    }
    let list = files.list(FileListOptions::default()).await?;
    assert_eq!(list.files.len(), 3);
    for name in [&segment, &deep, &whole] {
        assert!(was_there(files.delete(&path(name), WriteCondition::Exists).await?)?);
    }
    assert_eq!(files.list(FileListOptions::default()).await?.files, []);
    Ok(())
}

/// Where names can't be kept apart, the second one is refused; it never reaches the first one's file.
async fn names_that_look_alike_are_not_merged(ctx: Ctx) -> Outcome {
    for (one, other) in [("README", "readme"), ("caf\u{e9}", "cafe\u{301}"), ("Dir/x", "dir/x"), ("a/x", "a./x"), ("n", "n ")] {
        let files = ctx.project().await?.files();
        written(files.write_bytes(&path(one), "1", WriteCondition::None).await?)?;
        let second = files.write_bytes(&path(other), "2", WriteCondition::None).await;
        assert_eq!(files.read_text(&path(one)).await?.as_deref(), Some("1"), "{one:?} beside {other:?}");
        if second.is_ok() {
            assert_eq!(files.read_text(&path(other)).await?.as_deref(), Some("2"), "{other:?} beside {one:?}");
            assert_eq!(files.list(FileListOptions::default()).await?.files.len(), 2, "{one:?} and {other:?}");
        }
    }
    Ok(())
}
