//! Which events are meant: the filters of the query API as flags.

use super::Error;
use crate::selector::Selector;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Which events. All of these must hold.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(skip)]
pub(super) struct Args {
    #[arg(
        value_name = "SELECTOR",
        help = "Selector, such as 'ci_build_*{status!=\"success\", tests_failed > 0}'"
    )]
    selector: Option<String>,
    /// A further selector; one of all must match
    #[arg(long = "match", value_name = "SELECTOR")]
    matches: Vec<String>,
    /// Type of event; repeats, or several with commas
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Who sent it; repeats, or several with commas
    #[arg(long)]
    source: Vec<String>,
    /// Events at or after this time: 2h (ago), RFC 3339 (UTC if it has no zone), or seconds since 1970
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Events before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

impl Args {
    /// The parameters of the API, once the selectors are known to be right.
    pub(super) fn parameters(&self) -> Result<Vec<(&'static str, String)>, Error> {
        let mut parameters = Vec::new();
        for text in self.selector.iter().chain(&self.matches) {
            Selector::parse(text).map_err(|err| {
                Error::Usage(format!(
                    "`{text}` is no selector: {err}; a right one is 'ci_build_*{{status!=\"success\"}}'"
                ))
            })?;
            parameters.push(("match", text.clone()));
        }
        let single = |name, value: &Option<String>| value.clone().map(|it| (name, it));
        parameters.extend(self.types.iter().map(|it| ("type", it.clone())));
        parameters.extend(self.source.iter().map(|it| ("source", it.clone())));
        parameters.extend(single("since", &self.since));
        parameters.extend(single("until", &self.until));
        Ok(parameters)
    }
}

/// `path?a=b&c=d`.
pub(super) fn with_query(path: &str, parameters: &[(&'static str, String)]) -> String {
    let mut res = path.to_owned();
    for (index, (name, value)) in parameters.iter().enumerate() {
        res.push(if index == 0 { '?' } else { '&' });
        res.push_str(name);
        res.push('=');
        res.extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
    }
    res
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_parameters() {
        let args = Args {
            selector: Some("a{b=\"c d\"}".to_owned()),
            matches: vec!["x".to_owned()],
            types: vec!["t,u".to_owned()],
            since: Some("2h".to_owned()),
            ..Args::default()
        };
        let path = with_query("/p", &args.parameters().unwrap());
        assert_eq!(path, "/p?match=a%7Bb%3D%22c%20d%22%7D&match=x&type=t%2Cu&since=2h");
        assert_eq!(with_query("/p", &[]), "/p");
        let args = Args { matches: vec!["a{".to_owned()], ..Args::default() };
        let err = args.parameters().unwrap_err();
        assert_eq!(err.exit_code(), 2);
        assert!(err.to_string().starts_with("`a{` is no selector: "), "{err}");
    }
}
