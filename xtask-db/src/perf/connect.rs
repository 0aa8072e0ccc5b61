//! What it costs to connect, over TCP.

use anyhow::Result;

use super::Setup;
use super::rows::{Row, median};
use super::servers::{interleave, over_tcp};

const GROUP: &str = "Connections over TCP";

const CONNECTIONS: usize = 300;

pub(super) fn measure(setup: &Setup) -> Result<Vec<Row>> {
    let mut servers = over_tcp(setup, &[])?;
    let mut times = interleave(&mut servers, setup.repeats(CONNECTIONS), |server, _| {
        let mut client = server.connect()?;
        client.simple("SELECT 1")?;
        client.close()
    })?;
    let [ours, native] = &mut times;
    Ok(vec![
        Row::millis(GROUP, "connect, SELECT 1, close", median(ours))
            .native_time(median(native))
            .target("<= 4 ms, <= 1.5"),
    ])
}
