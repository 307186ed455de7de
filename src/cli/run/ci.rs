//! What a CI system says about the job, by the variables that it sets.

use std::collections::BTreeMap;

/// A system, the variable by which it is known, and where each member of the data comes from: the first variable
/// that is set.
struct System {
    name: &'static str,
    mark: &'static str,
    members: &'static [(&'static str, &'static [&'static str])],
}

const SYSTEMS: &[System] = &[
    System {
        name: "github-actions",
        mark: "GITHUB_ACTIONS",
        members: &[
            ("repository", &["GITHUB_REPOSITORY"]),
            // In a pull request the name of the ref is `26/merge`.
            ("branch", &["GITHUB_HEAD_REF", "GITHUB_REF_NAME"]),
            ("commit_sha", &["GITHUB_SHA"]),
            ("run_id", &["GITHUB_RUN_ID"]),
            ("workflow", &["GITHUB_WORKFLOW"]),
            ("job", &["GITHUB_JOB"]),
        ],
    },
    System {
        name: "gitlab-ci",
        mark: "GITLAB_CI",
        members: &[
            ("repository", &["CI_PROJECT_PATH"]),
            ("branch", &["CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", "CI_COMMIT_REF_NAME"]),
            ("commit_sha", &["CI_COMMIT_SHA"]),
            ("run_id", &["CI_PIPELINE_ID"]),
            ("job", &["CI_JOB_NAME"]),
        ],
    },
    System {
        name: "jenkins",
        mark: "JENKINS_URL",
        members: &[
            ("repository", &["JOB_NAME"]),
            ("branch", &["CHANGE_BRANCH", "BRANCH_NAME"]),
            ("commit_sha", &["GIT_COMMIT"]),
            ("run_id", &["BUILD_TAG"]),
        ],
    },
];

/// The members that the present CI system gives; none if there is none that we know.
pub(super) fn context(environment: &BTreeMap<String, String>) -> Vec<(&'static str, String)> {
    let get = |name: &str| environment.get(name).filter(|it| !it.is_empty()).cloned();
    let Some(system) = SYSTEMS.iter().find(|it| get(it.mark).is_some()) else {
        return Vec::new();
    };
    let members = system.members.iter().filter_map(|(member, variables)| {
        Some((*member, variables.iter().find_map(|it| get(it))?))
    });
    [("ci", system.name.to_owned())].into_iter().chain(members).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(environment: &[(&str, &str)], expected: &[(&str, &str)]) {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let found = context(&environment.iter().map(own).collect());
        let found: Vec<_> = found.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_each_system_says() {
        check(&[("GITHUB_SHA", "abc"), ("CI", "true")], &[]);
        check(
            &[
                ("GITHUB_ACTIONS", "true"),
                ("GITHUB_REPOSITORY", "o/r"),
                ("GITHUB_HEAD_REF", "feature"),
                ("GITHUB_REF_NAME", "26/merge"),
            ],
            &[("ci", "github-actions"), ("repository", "o/r"), ("branch", "feature")],
        );
        check(
            &[
                ("GITHUB_ACTIONS", "true"),
                ("GITHUB_HEAD_REF", ""),
                ("GITHUB_REF_NAME", "main"),
                ("GITHUB_RUN_ID", "7"),
            ],
            &[("ci", "github-actions"), ("branch", "main"), ("run_id", "7")],
        );
        check(
            &[("GITLAB_CI", "true"), ("CI_PROJECT_PATH", "g/p"), ("CI_JOB_NAME", "test")],
            &[("ci", "gitlab-ci"), ("repository", "g/p"), ("job", "test")],
        );
        check(
            &[("JENKINS_URL", "http://j/"), ("JOB_NAME", "web"), ("BRANCH_NAME", "main")],
            &[("ci", "jenkins"), ("repository", "web"), ("branch", "main")],
        );
    }
}
