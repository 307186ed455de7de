//! The services that write logs, and who owns them.
//!
//! A service is there from its first log on, and stays when its logs are pruned. What is known of it is
//! kept in the store and, as there are few, in memory.

use crate::codec;
use crate::store::verify::Verdict;
use crate::store::{Batch, Store, StoreError, Table};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

const TABLE: &str = "services";
const VERSION: u8 = 1;

/// The most services that are kept; the logs of further ones are stored all the same.
pub const MAX_SERVICES: usize = 10_000;
/// The longest name of a service or a team, in bytes.
pub const MAX_NAME_BYTES: usize = 256;

/// The services. A handle: clones share them.
#[derive(Clone)]
pub struct Services {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    table: Table,
    known: RwLock<BTreeMap<String, Record>>,
    /// Serialises changes: read, write to the store, remember.
    changing: Mutex<()>,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its number, in the order of first logs.
    pub id: u64,
    /// Its name: the source of its logs.
    pub name: String,
    /// Who owns it, if anybody said.
    pub team_owner: Option<String>,
}

/// The stored form; its key is the name.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Record {
    id: u64,
    team_owner: Option<String>,
}

/// Why the services could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The name is empty or too long.
    #[error("must have 1 to {MAX_NAME_BYTES} bytes")]
    Name,
    /// There are too many.
    #[error("there are {MAX_SERVICES} services, which is as many as are kept")]
    TooMany,
    /// A stored service cannot be read.
    #[error("the stored service {0:?} is damaged; nothing was changed: restore a backup")]
    Damaged(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

// === impl Services ===

impl Services {
    /// The services of `store`.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or a service in it is damaged.
    pub fn open(store: Store) -> Result<Self, ServiceError> {
        let table = store.table(TABLE)?;
        let mut known = BTreeMap::new();
        for entry in table.prefix(b"") {
            let (name, value) = entry?;
            let name = String::from_utf8_lossy(&name).into_owned();
            let record = decode(&value).ok_or_else(|| ServiceError::Damaged(name.clone()))?;
            known.insert(name, record);
        }
        let (known, changing) = (RwLock::new(known), Mutex::default());
        Ok(Self { shared: Arc::new(Shared { store, table, known, changing }) })
    }

    /// All services, in the order of their names.
    #[must_use]
    pub fn list(&self) -> Vec<Service> {
        self.read().iter().map(|(name, it)| service(name, it)).collect()
    }

    /// Notes that `name` writes logs. What is known already costs a look-up; a new service is durable
    /// when this returns. Blocking.
    ///
    /// # Errors
    ///
    /// The store cannot be written. Beyond [`MAX_SERVICES`] nothing is noted, which is no error.
    pub fn note(&self, name: &str) -> Result<(), ServiceError> {
        let is_noted =
            |known: &BTreeMap<_, _>| known.contains_key(name) || known.len() >= MAX_SERVICES;
        if is_noted(&self.read()) {
            return Ok(());
        }
        match self.change(name, |_| ()) {
            Ok(_) | Err(ServiceError::TooMany | ServiceError::Name) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Says who owns the service `name`, which need not have written logs yet. Durable when this
    /// returns. Blocking.
    ///
    /// # Errors
    ///
    /// A name is unusable, there are too many services, or the store cannot be written.
    pub fn set_owner(&self, name: &str, owner: Option<String>) -> Result<Service, ServiceError> {
        if owner.as_ref().is_some_and(|it| it.is_empty() || it.len() > MAX_NAME_BYTES) {
            return Err(ServiceError::Name);
        }
        self.change(name, |it| it.team_owner = owner)
    }

    fn change(
        &self,
        name: &str,
        change: impl FnOnce(&mut Record),
    ) -> Result<Service, ServiceError> {
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            return Err(ServiceError::Name);
        }
        let _changing = self.shared.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut record = {
            let known = self.read();
            match known.get(name) {
                Some(it) => it.clone(),
                None if known.len() >= MAX_SERVICES => return Err(ServiceError::TooMany),
                None => {
                    let last = known.values().map(|it| it.id).max().unwrap_or(0);
                    Record { id: last + 1, team_owner: None }
                }
            }
        };
        change(&mut record);
        let mut batch = Batch::default();
        batch.put(name.as_bytes(), &encode(&record));
        self.shared.table.apply(batch)?;
        self.shared.store.flush()?;
        let changed = service(name, &record);
        let mut known = self.shared.known.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(name.to_owned(), record);
        Ok(changed)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<String, Record>> {
        self.shared.known.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").field("known", &self.read().len()).finish_non_exhaustive()
    }
}

fn service(name: &str, record: &Record) -> Service {
    Service { id: record.id, name: name.to_owned(), team_owner: record.team_owner.clone() }
}

fn encode(record: &Record) -> Vec<u8> {
    // A number and a text are always JSON.
    codec::seal(VERSION, &serde_json::to_vec(record).unwrap_or_default())
}

/// Checks the service that is stored under `key`, for `observatory verify`.
pub fn check(key: &[u8], value: &[u8], verdict: &mut Verdict) {
    if decode(value).is_none() {
        let place = format!("services: {}", key.escape_ascii());
        let lost = "who owns it; it is noted again with its next log".to_owned();
        verdict.add(place, "it cannot be read".to_owned(), lost, vec![key.to_vec()]);
    }
}

fn decode(value: &[u8]) -> Option<Record> {
    serde_json::from_slice(codec::unseal(VERSION, value).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store;

    fn open_in(dir: &tempfile::TempDir) -> (Services, Store) {
        let store = Store::open(&store::Config::new(dir.path().to_owned())).unwrap();
        (Services::open(store.clone()).unwrap(), store)
    }

    #[test]
    fn services_and_owners_survive() {
        let dir = tempfile::tempdir().unwrap();
        let (services, store) = open_in(&dir);
        services.note("web").unwrap();
        services.note("api").unwrap();
        services.note("web").unwrap();
        let team = Some("Payments Team".to_owned());
        let set = services.set_owner("api", team.clone()).unwrap();
        let expected = vec![
            Service { id: 2, name: "api".to_owned(), team_owner: team },
            Service { id: 1, name: "web".to_owned(), team_owner: None },
        ];
        assert_eq!(set, expected[0]);
        assert_eq!(services.list(), expected);
        drop((services, store));
        let (services, _store) = open_in(&dir);
        assert_eq!(services.list(), expected);
        assert_eq!(services.set_owner("new", None).unwrap().id, 3);
        assert_eq!(services.set_owner("api", None).unwrap().team_owner, None);
    }

    #[test]
    fn names_have_bounds_and_so_has_their_number() {
        let dir = tempfile::tempdir().unwrap();
        let (services, _store) = open_in(&dir);
        let long = "x".repeat(MAX_NAME_BYTES + 1);
        assert!(matches!(services.set_owner("", None), Err(ServiceError::Name)));
        assert!(matches!(services.set_owner(&long, None), Err(ServiceError::Name)));
        assert!(matches!(services.set_owner("a", Some(long)), Err(ServiceError::Name)));
        let record = Record { id: 1, team_owner: None };
        let many = (0..MAX_SERVICES).map(|it| (it.to_string(), record.clone())).collect();
        *services.shared.known.write().unwrap() = many;
        assert!(matches!(services.set_owner("a", None), Err(ServiceError::TooMany)));
        services.note("a").unwrap();
        assert_eq!(services.list().len(), MAX_SERVICES);
    }

    #[test]
    fn a_damaged_service_is_not_read_as_none() {
        let dir = tempfile::tempdir().unwrap();
        let (services, store) = open_in(&dir);
        services.note("web").unwrap();
        let table = store.table(TABLE).unwrap();
        let mut value = table.get(b"web").unwrap().unwrap();
        *value.last_mut().unwrap() ^= 1;
        table.put(b"web", &value).unwrap();
        let error = Services::open(store).unwrap_err().to_string();
        assert!(error.contains("\"web\""), "{error}");
    }
}
