use super::*;
use crate::store;

const NOW: Time = Time::from_millis(1_000_000);
const LATER: Time = Time::from_millis(2_000_000);

fn config(open: Open, tokens: &[(&str, &str, &str)]) -> Config {
    let token = |(name, roles, secret): &(&str, &str, &str)| StaticToken {
        name: (*name).to_owned(),
        roles: roles.parse().unwrap(),
        secret: (*secret).to_owned(),
    };
    Config { tokens: tokens.iter().map(token).collect(), open }
}

fn open(dir: &tempfile::TempDir, config: Config) -> Result<Tokens, TokenError> {
    let store = Store::open(&store::Config::new(dir.path().to_owned())).unwrap();
    Tokens::open(store, config)
}

fn new(config: Config) -> (Tokens, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (open(&dir, config).unwrap(), dir)
}

fn roles(text: &str) -> Roles {
    text.parse().unwrap()
}

#[test]
fn roles_include_others() {
    let check =
        |text: &str, expected: &str| assert_eq!(roles(text).to_string(), expected, "{text}");
    check("ingest", "ingest");
    check("read", "read");
    check("read, ingest", "ingest,read");
    check("control", "ingest,read,control");
    check("admin", "ingest,read,control,admin");
    check("", "");
    assert_eq!(roles("admin"), Roles::ALL);
    assert_eq!("root".parse::<Roles>(), Err(ParseRolesError("root".into())));
}

#[test]
fn a_token_lives_until_it_expires_or_is_revoked() {
    let (tokens, dir) = new(Config::default());
    let (info, secret) = tokens.create("ci", roles("ingest"), Some(LATER), NOW).unwrap();
    assert!(secret.starts_with("obs_") && secret.len() == 47, "{}", secret.len());
    let identity = tokens.verify(Some(&secret), NOW).unwrap();
    assert_eq!((identity.name.as_deref(), identity.roles), (Some("ci"), roles("ingest")));
    assert_eq!(tokens.verify(Some(&secret), LATER), Err(AuthError::Expired));
    assert_eq!(tokens.verify(Some("obs_x"), NOW), Err(AuthError::Unknown));
    assert_eq!(tokens.verify(None, NOW), Err(AuthError::Missing));

    drop(tokens);
    let tokens = open(&dir, Config::default()).unwrap();
    assert_eq!(tokens.list(), std::slice::from_ref(&info));
    assert_eq!(tokens.verify(Some(&secret), NOW), Ok(identity));
    tokens.revoke("ci", LATER).unwrap();
    assert_eq!(tokens.verify(Some(&secret), NOW), Err(AuthError::Revoked));

    drop(tokens);
    let tokens = open(&dir, Config::default()).unwrap();
    assert_eq!(tokens.verify(Some(&secret), NOW), Err(AuthError::Revoked));
    assert_eq!(tokens.list()[0].revoked, Some(LATER));
    let (again, _) = tokens.create("ci", roles("read"), None, NOW).unwrap();
    assert_ne!(again.id, info.id);
    assert_eq!(tokens.revoke(&again.id, NOW).unwrap().id, again.id);
}

#[test]
fn changes_that_are_refused() {
    let (tokens, _dir) = new(config(Open::Never, &[("fixed", "read", "secret-secret")]));
    tokens.create("ci", roles("ingest"), None, NOW).unwrap();
    let create = |name: &str, text: &str| {
        tokens.create(name, roles(text), None, NOW).map(|it| it.0.name).map_err(|it| it.to_string())
    };
    assert_eq!(create("ci", "read").unwrap_err(), "there is a token named \"ci\" already");
    assert!(create("new", "").unwrap_err().contains("at least one role"));
    for name in ["", "a b", "a\n", &"x".repeat(65)] {
        assert!(create(name, "read").unwrap_err().contains("name"), "{name}");
    }
    let revoke = |name: &str| tokens.revoke(name, NOW).unwrap_err().to_string();
    assert!(revoke("nobody").contains("no token"));
    assert!(revoke("fixed").contains("configuration"));
}

#[test]
fn tokens_of_the_configuration() {
    let two = [("a", "ingest", "secret-a"), ("b", "admin", "secret-b")];
    let (tokens, _dir) = new(config(Open::Never, &two));
    assert_eq!(tokens.verify(Some("secret-a"), NOW).unwrap().roles, roles("ingest"));
    assert_eq!(tokens.verify(Some("secret-b"), NOW).unwrap().roles, Roles::ALL);

    let dir = tempfile::tempdir().unwrap();
    let refused = |it: &[(&str, &str, &str)]| {
        open(&dir, config(Open::Never, it)).map(|_| ()).unwrap_err().to_string()
    };
    assert!(refused(&[("a", "read", "short")]).contains("at least 8"));
    assert!(refused(&[("a", "", "long-enough")]).contains("role"));
    assert!(refused(&[("a", "read", "same-same"), ("b", "read", "same-same")]).contains("same"));
}

#[test]
fn open_for_all() {
    let (tokens, _dir) = new(config(Open::WithoutTokens, &[]));
    assert_eq!(tokens.verify(None, NOW), Ok(Identity { roles: Roles::ALL, ..Identity::default() }));
    let (_, secret) = tokens.create("first", roles("admin"), None, NOW).unwrap();
    assert_eq!(tokens.verify(None, NOW), Err(AuthError::Missing));
    assert!(tokens.verify(Some(&secret), NOW).is_ok());
    tokens.revoke("first", NOW).unwrap();
    assert!(!tokens.is_open());

    let (tokens, _dir) = new(config(Open::Always, &[("a", "read", "secret-a")]));
    assert_eq!(tokens.verify(Some("wrong"), NOW).unwrap().roles, Roles::ALL);
}

#[test]
fn secrets_are_not_shown_or_stored() {
    let (tokens, dir) = new(config(Open::Never, &[("a", "read", "secret-a")]));
    let (info, secret) = tokens.create("ci", roles("ingest"), None, NOW).unwrap();
    let shown =
        format!("{tokens:?} {info:?} {:?}", config(Open::Never, &[("a", "read", "secret-a")]));
    assert!(!shown.contains(&secret) && !shown.contains("secret-a"), "{shown}");
    drop(tokens);
    let store = Store::open(&store::Config::new(dir.path().to_owned())).unwrap();
    let stored: Vec<_> = store.table(TABLE).unwrap().prefix(b"tok_").map(Result::unwrap).collect();
    assert_eq!(stored.len(), 1);
    assert!(!String::from_utf8_lossy(&stored[0].1).contains(&secret));
}

#[test]
fn a_damaged_record_is_not_ignored() {
    let (tokens, dir) = new(Config::default());
    let mut batch = Batch::default();
    batch.put(b"tok_1", b"{\"version\":2}");
    tokens.shared.table.apply(batch).unwrap();
    tokens.shared.store.flush().unwrap();
    drop(tokens);
    assert!(matches!(open(&dir, Config::default()), Err(TokenError::Damaged(id)) if id == "tok_1"));
}
