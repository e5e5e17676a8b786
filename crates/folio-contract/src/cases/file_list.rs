//! Lists of files.

use std::sync::Arc;

use folio::{BlobStore, BlobStoreExt, Etag, FileInfo, FileList, FileListOptions, WriteCondition};

use crate::case::cases;
use crate::ctx::Ctx;
use crate::failure::Outcome;
use crate::make::{append, json, key, log_name, numbers, path, refused, was_there, written};

cases! { "file_list":
    it_is_in_byte_order_of_the_whole_path,
    it_comes_in_pages,
    a_folder_narrows_it,
    after_is_exclusive_and_need_not_be_there,
    a_limit_is_1_to_10000,
    it_tells_the_size_and_the_tag_if_asked,
    documents_and_logs_do_not_show_up,
    it_follows_writes_and_deletes,
}

/// In byte order: `-` before `.` before `/` before `0`.
const PATHS: &[&str] =
    &["A/z", "a-/x", "a-b", "a.txt", "a/b", "a/b-c/x", "a/b.d/x", "a/c/d/e", "a/c0", "a/é", "a0/x", "b", "z y/x", "é", "日本/語"];

fn paths() -> Vec<&'static str> {
    PATHS.to_vec()
}

async fn filled(files: &Arc<dyn BlobStore>) -> Outcome {
    for name in paths().iter().rev() {
        written(files.write_bytes(&path(name), *name, WriteCondition::Absent).await?)?;
    }
    Ok(())
}

fn names(files: &[FileInfo]) -> Vec<&str> {
    files.iter().map(|file| file.path.as_str()).collect()
}

async fn pages(files: &Arc<dyn BlobStore>, options: FileListOptions) -> Outcome<Vec<FileInfo>> {
    let (mut all, mut after) = (Vec::new(), options.after.clone());
    loop {
        let FileList { files: page, next } = files.list(FileListOptions { after, ..options.clone() }).await?;
        assert!(page.len() <= options.limit, "{} files on a page of {}", page.len(), options.limit);
        assert!(next.is_none() || next.as_ref() == page.last().map(|file| &file.path), "next is {next:?}");
        all.extend(page);
        after = next;
        if after.is_none() {
            return Ok(all);
        }
    }
}

async fn it_is_in_byte_order_of_the_whole_path(ctx: Ctx) -> Outcome {
    let files = ctx.project().await?.files();
    filled(&files).await?;
    let list = files.list(FileListOptions::default()).await?;
    assert_eq!((names(&list.files), list.next), (paths(), None));
    Ok(())
}

async fn it_comes_in_pages(ctx: Ctx) -> Outcome {
    let files = ctx.project().await?.files();
    filled(&files).await?;
    for limit in 1..=paths().len() + 1 {
        let all = pages(&files, FileListOptions { limit, ..FileListOptions::default() }).await?;
        assert_eq!(names(&all), paths(), "pages of {limit}");
    }
    let whole = files.list(FileListOptions { limit: paths().len(), ..FileListOptions::default() }).await?;
    assert_eq!(whole.next, None, "a page that ends with the last path is the last one");
    Ok(())
}

async fn a_folder_narrows_it(ctx: Ctx) -> Outcome {
    let files = ctx.project().await?.files();
    filled(&files).await?;
    for folder in ["a", "a/c", "a/c/d", "a0", "A", "日本", "z y", "nothing", "a/nothing", "b", "a/c/d/e"] {
        let below = format!("{folder}/");
        let expected: Vec<_> = paths().into_iter().filter(|name| name.starts_with(&below)).collect();
        for limit in [1, 2, 1_000] {
            let options = FileListOptions { folder: Some(path(folder)), limit, ..FileListOptions::default() };
            assert_eq!(names(&pages(&files, options).await?), expected, "folder {folder}, pages of {limit}");
        }
    }
    Ok(())
}

async fn after_is_exclusive_and_need_not_be_there(ctx: Ctx) -> Outcome {
    let files = ctx.project().await?.files();
    filled(&files).await?;
    for after in ["0", "a", "a-b", "a/b", "a/b-", "a/c", "a/c/d/e", "a/zzz", "a0/w", "b/deep/er", "zzz", "日本/語"] {
        for folder in [None, Some("a"), Some("a/c"), Some("a0")] {
            let below = folder.map(|folder| format!("{folder}/")).unwrap_or_default();
            let expected: Vec<_> = paths().into_iter().filter(|name| *name > after && name.starts_with(&below)).collect();
            for limit in [2, 1_000] {
                let options =
                    FileListOptions { folder: folder.map(path), after: Some(path(after)), limit, ..FileListOptions::default() };
                let listed = pages(&files, options).await?;
                assert_eq!(names(&listed), expected, "after {after}, folder {folder:?}, pages of {limit}");
            }
        }
    }
    Ok(())
}

async fn a_limit_is_1_to_10000(ctx: Ctx) -> Outcome {
    let files = ctx.project().await?.files();
    for limit in [0, 10_001] {
        refused(files.list(FileListOptions { limit, ..FileListOptions::default() }).await, "invalid")?;
    }
    assert_eq!(files.list(FileListOptions { limit: 10_000, ..FileListOptions::default() }).await?.files, []);
    Ok(())
}

async fn it_tells_the_size_and_the_tag_if_asked(ctx: Ctx) -> Outcome {
    let files = ctx.project().await?.files();
    filled(&files).await?;
    for file in files.list(FileListOptions { etag: true, ..FileListOptions::default() }).await?.files {
        let content = file.path.as_str().as_bytes();
        assert_eq!((file.size, file.etag), (content.len() as u64, Some(Etag::of(content))), "{}", file.path);
        assert!(file.modified > 0, "{} was written at some time", file.path);
        let stat = files.stat(&file.path, true).await?;
        assert_eq!(stat, Some(file), "what a list tells of a file");
    }
    Ok(())
}

async fn documents_and_logs_do_not_show_up(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    append(&project.log(&log_name("history")), numbers(1..=3)).await?;
    append(&project.log(&log_name("runs/1")), numbers(1..=3)).await?;
    written(project.docs().put(&key("doc"), json("1"), WriteCondition::None).await?)?;
    let files = project.files();
    assert_eq!(files.list(FileListOptions::default()).await?.files, []);
    written(files.write_bytes(&path("meta/doc.json"), "1", WriteCondition::Absent).await?)?;
    assert_eq!(names(&files.list(FileListOptions::default()).await?.files), ["meta/doc.json"]);
    Ok(())
}

async fn it_follows_writes_and_deletes(ctx: Ctx) -> Outcome {
    let files = ctx.project().await?.files();
    filled(&files).await?;
    let mut left = paths();
    for gone in ["a/b", "日本/語", "A/z", "a/c/d/e"] {
        assert!(was_there(files.delete(&path(gone), WriteCondition::None).await?)?);
        left.retain(|name| *name != gone);
        let list = files.list(FileListOptions::default()).await?;
        assert_eq!(names(&list.files), left, "after deleting {gone}");
    }
    Ok(())
}
