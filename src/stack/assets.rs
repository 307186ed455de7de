//! The configuration that comes with the program: what `prometheus/`, `alertmanager/`, `grafana/` and the compose
//! file of the source tree hold, embedded, so that nothing is looked up in a checkout.

use rust_embed::RustEmbed;
use std::{borrow::Cow, collections::BTreeMap};

#[derive(RustEmbed)]
#[folder = "prometheus"]
struct Prometheus;

#[derive(RustEmbed)]
#[folder = "alertmanager"]
struct Alertmanager;

#[derive(RustEmbed)]
#[folder = "grafana/provisioning"]
struct Provisioning;

#[derive(RustEmbed)]
#[folder = "grafana/dashboards"]
struct Dashboards;

/// The compose file.
#[must_use]
pub fn compose_file() -> &'static str {
    include_str!("../../docker-compose.yml")
}

/// Every file by its path in the source tree, but for tests.
#[must_use]
pub fn assets() -> BTreeMap<String, Cow<'static, [u8]>> {
    let mut files = BTreeMap::new();
    take::<Prometheus>("prometheus", &mut files);
    take::<Alertmanager>("alertmanager", &mut files);
    take::<Provisioning>("grafana/provisioning", &mut files);
    take::<Dashboards>("grafana/dashboards", &mut files);
    files.retain(|path, _| !path.starts_with("prometheus/tests/"));
    files
}

fn take<T: RustEmbed>(below: &str, files: &mut BTreeMap<String, Cow<'static, [u8]>>) {
    for name in T::iter() {
        let data = name.ends_with(".yml") || name.ends_with(".yaml") || name.ends_with(".json");
        if let Some(file) = T::get(&name).filter(|_| data) {
            files.insert(format!("{below}/{name}"), file.data);
        }
    }
}
