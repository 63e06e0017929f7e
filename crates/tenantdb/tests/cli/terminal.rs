//! What a person at a terminal is asked, and sees.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, ExitStatus};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::pty::openpty;
use nix::sys::termios::{LocalFlags, tcgetattr};
use tenantdb_testkit::{TestServer, on_servers, wait_until};

use crate::world::{World, tenant};

/// How long a program may take to read what is typed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A run of the program at a terminal of its own.
struct Seat {
    child: Child,
    keyboard: File,
    screen: JoinHandle<String>,
}

impl Seat {
    /// Starts a command, and waits until it has asked something.
    fn asked(world: &World, arguments: &[&str], question: &'static str) -> Self {
        let terminal = openpty(None, None).unwrap();
        let end = || File::from(terminal.slave.try_clone().unwrap());
        let mut command = world.command_on(arguments);
        let child = command
            .env_remove("NO_COLOR")
            .env("TERM", "xterm")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        let keyboard = File::from(terminal.master);
        let mut screen = keyboard.try_clone().unwrap();
        drop((command, terminal.slave));
        let (told, asked) = std::sync::mpsc::channel();
        let screen = thread::spawn(move || {
            let (mut text, mut part) = (String::new(), [0; 4096]);
            // Reading fails when nobody has the other end open any more.
            while let Ok(length @ 1..) = screen.read(&mut part) {
                text.push_str(&String::from_utf8_lossy(&part[..length]));
                if text.contains(question) {
                    let _ = told.send(());
                }
            }
            text
        });
        asked.recv().unwrap();
        // A key that is pressed before the program reads single keys may be lost.
        let reads_keys = || !tcgetattr(&keyboard).unwrap().local_flags.contains(LocalFlags::ICANON);
        wait_until(PATIENCE, reads_keys);
        Self { child, keyboard, screen }
    }

    /// Presses a key, and waits for the end: how it ended, and what was on the screen.
    fn presses(mut self, key: &str) -> (ExitStatus, String) {
        self.keyboard.write_all(key.as_bytes()).unwrap();
        let status = self.child.wait().unwrap();
        (status, self.screen.join().unwrap())
    }
}

on_servers! {
    [18 Plain]

    fn consent_is_asked_for_and_nothing_else_is_done_without(server: TestServer) {
        let world = World::on(&server);
        let declared = tenant("cafe", "{deletionProtection: false, dbDeletionPolicy: Delete, roleDeletionPolicy: Delete}");
        world.apply(&declared).exits(0);
        let there = || server.psql("postgres", "SELECT count(*) FROM pg_database WHERE datname = 'cafe'");
        let ask = || Seat::asked(&world, &["delete"], "This destroys data. Go on?");

        let (status, screen) = ask().presses("n");
        assert_eq!((status.code(), there()), (Some(4), "1".to_owned()), "{screen}");
        let (status, screen) = ask().presses("\x03");
        assert_eq!((status.code(), there()), (Some(130), "1".to_owned()), "{screen}");
        assert!(screen.rfind("\x1b[?25h") > screen.rfind("\x1b[?25l"), "the cursor stays hidden: {screen:?}");
        let (status, screen) = ask().presses("y");
        assert_eq!((status.code(), there()), (Some(0), "0".to_owned()), "{screen}");
        assert!(screen.contains("\x1b[31m-\x1b[0m"), "no colour at a terminal: {screen:?}");
    }
}
