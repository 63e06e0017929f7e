//! An application that knows nothing but its credential's file.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tenantdb_testkit::query_at;

use super::site::{Site, delivered};

/// Reads every credential that is there, and logs in with it, again and again.
pub struct Reader {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<usize>,
}

impl Reader {
    pub fn start(site: &Site) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (folder, port, stopped) = (site.folder(), site.server.port(), stop.clone());
        let thread = thread::spawn(move || {
            let mut logins = 0;
            while !stopped.load(Ordering::SeqCst) {
                for (tenant, (user, password)) in delivered(&folder) {
                    let came_in = query_at(port, &user, &password, &tenant, "SELECT current_user");
                    assert_eq!(came_in, Ok(tenant), "{user} was delivered");
                    logins += 1;
                    if stopped.load(Ordering::SeqCst) {
                        break;
                    }
                }
                thread::sleep(Duration::from_millis(5));
            }
            logins
        });
        Self { stop, thread }
    }

    /// Ends it, and gives the number of its logins; none of them failed.
    #[track_caller]
    pub fn stop(self) -> usize {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("an application could not log in")
    }
}
