use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

/// A directory of programs that only know their version.
fn fake(bin: &Path, version: &str) {
    fs::create_dir_all(bin).unwrap();
    for program in NEEDED {
        let path = bin.join(program);
        fs::write(&path, format!("#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

fn search(root: &Path) -> Search {
    Search { patterns: vec![format!("{}/lib/*/bin", root.display())], ..Search::default() }
}

#[test]
fn reads_versions() {
    let parse = |text| Version::parse(text).map(|version| (version.major, version.text));
    assert_eq!(parse("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), Some((15, "15.18".to_owned())));
    assert_eq!(parse("postgres (PostgreSQL) 19beta1\n"), Some((19, "19beta1".to_owned())));
    assert_eq!(parse("postgres (PostgreSQL)"), None);
    assert_eq!(parse("postgres (PostgreSQL) new"), None);
    assert_eq!(parse("postgres: command not found"), None);
}

#[test]
fn the_newest_wins_and_old_ones_are_left_out() {
    let root = tempfile::tempdir().unwrap();
    for version in ["9.6", "13", "15", "100"] {
        fake(&root.path().join("lib").join(version).join("bin"), version);
    }
    fake(&root.path().join("lib/rubbish/bin"), "500");
    let found = search(root.path()).run(None).unwrap();
    assert_eq!((found.version().major, found.bin().ends_with("100/bin")), (100, true));
    assert_eq!(search(root.path()).run(Some(15)).unwrap().version().text, "15");

    fs::remove_dir_all(root.path().join("lib/100")).unwrap();
    fs::remove_dir_all(root.path().join("lib/15")).unwrap();
    let error = search(root.path()).run(None).unwrap_err();
    assert!(error.to_string().contains("is version 13, older than 14"), "{error}");
    assert!(error.hint().contains("apt-get install postgresql;"), "{}", error.hint());
    let error = search(root.path()).run(Some(15)).unwrap_err();
    assert!(error.hint().contains("brew install postgresql@15"), "{}", error.hint());
}

#[test]
fn links_on_the_path_are_followed() {
    let root = tempfile::tempdir().unwrap();
    let real = root.path().join("real/bin");
    fake(&real, "15.18");
    let links = root.path().join("links");
    fs::create_dir(&links).unwrap();
    symlink(real.join("postgres"), links.join("postgres")).unwrap();
    fake(&root.path().join("lib/17/bin"), "17.1");
    let search = Search { path: Some(links.into_os_string()), ..search(root.path()) };
    let found = search.run(None).unwrap();
    assert_eq!(found.bin(), real.canonicalize().unwrap());
    // The one on the path is of another version than the data.
    assert_eq!(search.run(Some(17)).unwrap().version().text, "17.1");
}

#[test]
fn the_variable_ends_the_search() {
    let root = tempfile::tempdir().unwrap();
    fake(&root.path().join("lib/17/bin"), "17.1");
    let empty = root.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let with = |directory: &Path| Search { variable: Some(directory.into()), ..search(root.path()) };
    let error = with(&empty).run(None).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("TENANTDB_POSTGRES_BIN=") && text.contains("there is no initdb and no postgres"), "{text}");
    assert!(error.hint().contains("unset it"), "{}", error.hint());
    let error = with(Path::new("bin")).run(None).unwrap_err();
    assert!(error.to_string().contains("is not an absolute path"), "{error}");
    assert_eq!(with(&root.path().join("lib/17/bin")).run(None).unwrap().version().major, 17);
}

#[test]
fn what_does_not_run_is_told() {
    let root = tempfile::tempdir().unwrap();
    let bin = root.path().join("bin");
    fake(&bin, "15.1");
    fs::write(bin.join("postgres"), "#!/bin/sh\necho 'libssl.so.1.1: cannot open' >&2; exit 127\n").unwrap();
    let error = Installation::at(&bin).unwrap_err();
    assert!(error.to_string().contains("libssl.so.1.1: cannot open"), "{error}");
    fs::set_permissions(bin.join("postgres"), fs::Permissions::from_mode(0o644)).unwrap();
    let error = Installation::at(&bin).unwrap_err();
    assert!(error.to_string().contains("postgres can't be run"), "{error}");
}
