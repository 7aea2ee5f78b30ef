//! stub
use std::path::PathBuf; use std::sync::Arc; use std::time::Duration;
#[derive(Clone,Debug,Default)] #[allow(missing_docs)] pub struct Config { pub executable: PathBuf, pub ladder: String }
#[allow(missing_docs)] pub struct Bridge; 
#[allow(missing_docs)] pub struct Rung { pub name: Arc<str>, pub lag_p95: Duration, pub speed: f64, pub units: u64 }
#[allow(missing_docs)] impl Bridge { pub fn stats(&self)->Vec<Rung>{vec![]} }
#[allow(missing_docs)] pub fn attach(s:&Arc<crate::hub::Stream>, _:Config, _:&crate::base::shutdown::Tasks)->Bridge{ s.plan(vec![]); Bridge }
#[allow(missing_docs)] pub fn run_worker() -> Result<(), std::io::Error> { Ok(()) }
