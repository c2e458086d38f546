use alloc::string::ToString;

use super::*;
use crate::error::ConfigError;

#[test]
fn every_preset_passes_its_own_check() {
    for config in [Config::local(), Config::lan(), Config::wan()] {
        assert_eq!(config.check(), Ok(()));
    }
}

#[test]
fn a_preset_survives_a_file() {
    let text = toml::to_string(&Config::wan()).unwrap();
    assert!(text.contains("interval = \"500ms\""), "{text}");
    assert_eq!(toml::from_str::<Config>(&text).unwrap(), Config::wan());
}

#[test]
fn a_file_replaces_what_it_names_and_nothing_else() {
    let file = "[rumor]\nk = 3\nexchange = \"push-pull\"\n[lifetimes]\nbroadcast = \"5m\"";
    let config = Config::local().overlay(toml::Deserializer::parse(file).unwrap()).unwrap();
    let mut expected = Config::local();
    expected.rumor.k = 3;
    expected.rumor.exchange = Exchange::PushPull;
    expected.lifetimes.broadcast = Duration::from_secs(300);
    assert_eq!(config, expected);
}

#[test]
fn an_unknown_field_is_refused_by_its_name() {
    for (file, name) in
        [("[rumor]\nfan_out = 3", "fan_out"), ("speed = 3", "speed"), ("[probe]\npreset = \"lan\"", "preset")]
    {
        let error = toml::from_str::<Config>(file).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}

/// Feature `next` makes up a release that has done without a setting.
#[cfg(feature = "next")]
#[test]
fn a_removed_setting_is_read_and_told_with_what_to_write_instead() {
    let file = "preset = \"wan\"\n[rumor]\nheat = [1, \"anything\"]\nfanout = 2";
    let ConfigFile { config, removed } = toml::from_str(file).unwrap();
    assert_eq!(toml::from_str::<Config>(file).unwrap(), config);
    assert_eq!((config.rumor.fanout, &config.probe), (2, &Config::wan().probe));
    assert_eq!(removed, [RemovedSetting { name: "rumor.heat", instead: "write rumor.k" }]);
    assert_eq!(removed[0].to_string(), "rumor.heat is not used any more: write rumor.k");
    assert!(!toml::to_string(&config).unwrap().contains("heat"));
    assert_eq!(toml::from_str::<ConfigFile>("[rumor]\nk = 3").unwrap().removed, []);
    assert!(toml::from_str::<ConfigFile>("[rumor]\nheats = 3").unwrap_err().to_string().contains("heats"));
}

#[test]
fn a_duration_that_is_none_is_refused_with_an_example() {
    for text in ["200", "ms", "-1s", "1 fortnight", "99999999999999999d", ""] {
        let error = toml::from_str::<Config>(&alloc::format!("[rumor]\ninterval = \"{text}\"")).unwrap_err();
        assert!(error.to_string().contains("200ms"), "{text}: {error}");
    }
}

#[test]
fn what_cannot_work_is_refused_with_field_value_and_bound() {
    let mut config = Config::lan();
    config.max_datagram = 511;
    let error = config.check().unwrap_err();
    assert!(matches!(error, ConfigError::OutOfBounds { field: "max_datagram", .. }));
    assert_eq!(error.to_string(), "max_datagram is 511, it must be from 512 to 65507");
    config = Config::lan();
    config.probe.timeout = config.probe.period;
    assert!(config.check().unwrap_err().to_string().starts_with("probe.timeout is 1s, it must be from 1ms to"));
}
