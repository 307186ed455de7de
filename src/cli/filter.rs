//! Which events are meant: the filters of the query API as flags.

use super::Error;
use crate::selector::Selector;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Which events, and of which time. All of these must hold.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(skip)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// Events at or after this time: 2h (ago), RFC 3339 (UTC if it has no zone), or seconds since 1970
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Events before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

/// Which events, whenever they come.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(skip)]
pub(super) struct Which {
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
}

impl Args {
    /// The parameters of the API, once the selectors are known to be right.
    pub(super) fn parameters(&self) -> Result<Vec<(&'static str, String)>, Error> {
        let mut parameters = self.which.parameters()?;
        let single = |name, value: &Option<String>| value.clone().map(|it| (name, it));
        parameters.extend(single("since", &self.since));
        parameters.extend(single("until", &self.until));
        Ok(parameters)
    }
}

impl Which {
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
        parameters.extend(self.types.iter().map(|it| ("type", it.clone())));
        parameters.extend(self.source.iter().map(|it| ("source", it.clone())));
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
        let which = Which {
            selector: Some("a{b=\"c d\"}".to_owned()),
            matches: vec!["x".to_owned()],
            types: vec!["t,u".to_owned()],
            ..Which::default()
        };
        let args = Args { which, since: Some("2h".to_owned()), until: None };
        let path = with_query("/p", &args.parameters().unwrap());
        assert_eq!(path, "/p?match=a%7Bb%3D%22c%20d%22%7D&match=x&type=t%2Cu&since=2h");
        assert_eq!(with_query("/p", &[]), "/p");
        let which = Which { matches: vec!["a{".to_owned()], ..Which::default() };
        let err = which.parameters().unwrap_err();
        assert_eq!(err.exit_code(), 2);
        assert!(err.to_string().starts_with("`a{` is no selector: "), "{err}");
    }
}
