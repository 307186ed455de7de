//! "Did you mean ...?"

/// `, did you mean ...?` if one of `candidates` is close to `word`; empty otherwise.
pub(super) fn suggest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    let last = |it: &str| it.rsplit('.').next().unwrap_or(it).to_owned();
    let score = |it: &str| {
        let whole = strsim::jaro_winkler(word, it);
        // The right name in the wrong section is close as well.
        if last(word) == last(it) { whole.max(0.95) } else { whole }
    };
    let best = candidates.into_iter().map(|it| (score(it), it)).max_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((score, it)) if score > 0.85 => format!(", did you mean `{it}`?"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_close_is_suggested() {
        let names = ["listen", "data_dir", "limits.body_bytes"];
        assert_eq!(suggest("lisen", names), ", did you mean `listen`?");
        assert_eq!(suggest("limits.body_byte", names), ", did you mean `limits.body_bytes`?");
        assert_eq!(suggest("body_bytes", names), ", did you mean `limits.body_bytes`?");
        assert_eq!(suggest("colour", names), "");
    }
}
