//! The logs of a project: their names, and lists of them.

use std::sync::Arc;

use folio::{LogName, Project};

use crate::case::cases;
use crate::ctx::Ctx;
use crate::failure::{Failure, Outcome};
use crate::make::{append, data, log_name, numbers, read_all, refused};

cases! { "logs":
    the_history_is_always_there,
    a_list_is_in_byte_order_of_the_encoded_names,
    a_list_comes_in_pages,
    a_list_limit_is_1_to_10000,
    any_text_is_a_name,
    names_that_look_alike_are_not_merged,
    a_name_may_be_a_folder_of_others,
    the_list_survives_reopening [Reopen],
}

async fn names(project: &Arc<dyn Project>, limit: usize) -> Outcome<Vec<LogName>> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let list = project.list_logs(after.as_ref(), limit).await?;
        if list.logs.len() > limit {
            crate::fail!("{} logs on a page of {limit}", list.logs.len());
        }
        all.extend(list.logs.iter().cloned());
        if list.next.is_some() && list.next.as_ref() != list.logs.last() {
            return Err(Failure::new(format!("next is {:?} after {:?}", list.next, list.logs.last())));
        }
        after = list.next;
        if after.is_none() {
            return Ok(all);
        }
    }
}

async fn the_history_is_always_there(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    assert_eq!(names(&project, 10).await?, [LogName::history()]);
    assert_eq!(project.log(&LogName::history()).status().await?.head.seq, 0);
    append(&project.log(&log_name("history")), numbers([1])).await?;
    assert_eq!(names(&project, 10).await?, [LogName::history()]);
    assert_eq!(project.log(&LogName::history()).status().await?.head.seq, 1, "by name it is the same log");
    Ok(())
}

const SOME: &[&str] = &["a", "a.b", "a-b", "a/b", "a0", "a b", "B", "runs/9", "runs/10", "runs", "ünï", "zz/y/x"];

async fn make(project: &Arc<dyn Project>, names: &[&str]) -> Outcome<Vec<LogName>> {
    let mut made = vec![LogName::history()];
    for (n, name) in names.iter().enumerate() {
        let name = log_name(name);
        append(&project.log(&name), numbers([n as u64])).await?;
        made.push(name);
    }
    made.sort_by_key(LogName::encoded);
    Ok(made)
}

async fn a_list_is_in_byte_order_of_the_encoded_names(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let made = make(&project, SOME).await?;
    assert_eq!(names(&project, 1_000).await?, made);
    Ok(())
}

async fn a_list_comes_in_pages(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let made = make(&project, SOME).await?;
    for limit in 1..=made.len() + 1 {
        assert_eq!(names(&project, limit).await?, made, "pages of {limit}");
    }
    let whole = project.list_logs(None, made.len()).await?;
    assert_eq!(whole.next, None, "a page that ends with the last name is the last one");
    // after a name that is not there
    let rest = project.list_logs(Some(&log_name("a-a")), 1_000).await?;
    assert_eq!(rest.logs, made.iter().filter(|name| *name.encoded() > *"a-a").cloned().collect::<Vec<_>>());
    Ok(())
}

async fn a_list_limit_is_1_to_10000(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    for limit in [0, 10_001] {
        refused(project.list_logs(None, limit).await, "invalid")?;
    }
    assert_eq!(project.list_logs(None, 10_000).await?.logs, [LogName::history()]);
    Ok(())
}

async fn any_text_is_a_name(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let segment = "s".repeat(200);
    let whole = format!("{}{segment}", format!("{}/", "x".repeat(199)).repeat(4));
    let odd = [
        " ",
        "...",
        "..a",
        "a\\b",
        "a%2Fb",
        "%",
        "a?b#c&d=e+f",
        "line\nbreak",
        "\u{1}\u{7f}",
        "日本/語",
        "\"quoted\"",
        "C:",
        "con",
        "*",
        "~",
        ".hidden",
        "history.d",
        "fork/s",
        "d/forks",
        &segment,
        &whole,
    ];
    let made = make(&project, &odd).await?;
    assert_eq!(names(&project, 7).await?, made);
    for (n, name) in odd.iter().enumerate() {
        let log = project.log(&log_name(name));
        assert_eq!(data(&read_all(&log).await?), numbers([n as u64]), "{name:?}");
    }
    for name in odd {
        project.log(&log_name(name)).delete().await?;
    }
    assert_eq!(names(&project, 10).await?, [LogName::history()]);
    Ok(())
}

/// Where names can't be kept apart, the second one is refused; it never reaches the first one's log.
async fn names_that_look_alike_are_not_merged(ctx: Ctx) -> Outcome {
    let pairs = [("Run", "run"), ("caf\u{e9}", "cafe\u{301}"), ("a", "a "), ("a", "a.")];
    for (one, other) in pairs {
        let project = ctx.project().await?;
        append(&project.log(&log_name(one)), numbers([1])).await?;
        let second = project.log(&log_name(other)).append(numbers([2]), folio::AppendOptions::default()).await;
        assert_eq!(data(&read_all(&project.log(&log_name(one))).await?), numbers([1]), "{one:?} beside {other:?}");
        if second.is_ok() {
            assert_eq!(data(&read_all(&project.log(&log_name(other))).await?), numbers([2]), "{other:?} beside {one:?}");
        }
    }
    Ok(())
}

async fn a_name_may_be_a_folder_of_others(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let made = make(&project, &["a/b/c", "a", "a/b", "history/x", "logs/y"]).await?;
    assert_eq!(names(&project, 10).await?, made);
    for (gone, left) in [("a/b", "a/b/c"), ("a", "a/b/c"), ("a/b/c", "logs/y")] {
        project.log(&log_name(gone)).delete().await?;
        refused(project.log(&log_name(gone)).status().await, "no_log")?;
        assert_eq!(read_all(&project.log(&log_name(left))).await?.len(), 1, "{left} after deleting {gone}");
    }
    assert_eq!(append(&project.log(&log_name("a/b")), numbers([1])).await?.first, 1);
    Ok(())
}

async fn the_list_survives_reopening(ctx: Ctx) -> Outcome {
    let project = ctx.project().await?;
    let made = make(&project, SOME).await?;
    ctx.reopen().await?;
    assert_eq!(names(&ctx.again(&project), 5).await?, made);
    Ok(())
}
