//! `GET /progress`: one small JSON page for the operator. Best effort: whoever cannot reach it misses nothing but a
//! percentage.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// Longest request that is read. A reader with more to say is cut off.
const REQUEST_BYTES_MAX: u64 = 4 << 10;
/// One slow reader must not keep the others waiting for long.
const PATIENCE: Duration = Duration::from_secs(2);

/// Serve a page until the process ends. Returns the address, which is of interest where port 0 was asked for.
///
/// # Errors
/// The address cannot be bound.
pub fn serve(address: SocketAddr, page: impl Fn() -> String + Send + 'static) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address)?;
    let bound = listener.local_addr()?;
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            // The reader went away or is too slow: it will ask again.
            let _ = answer(&connection, &page);
        }
    });
    Ok(bound)
}

fn answer(connection: &TcpStream, page: &impl Fn() -> String) -> io::Result<()> {
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(connection.take(REQUEST_BYTES_MAX)).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    // Unread headers would make the close a reset, and the reader would lose the answer.
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let mut words = request.split_whitespace();
    let (status, body) = match (words.next(), words.next()) {
        (Some("GET"), Some("/progress")) => ("200 OK", page()),
        (Some("GET"), Some(_)) => ("404 Not Found", "{}".into()),
        _ => ("405 Method Not Allowed", "{}".into()),
    };
    let length = body.len();
    let mut connection = connection;
    write!(
        connection,
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )?;
    connection.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(address: SocketAddr, request: &str) -> String {
        let mut connection = TcpStream::connect(address).unwrap();
        connection.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        answer
    }

    fn server() -> SocketAddr {
        serve("127.0.0.1:0".parse().unwrap(), || "{\"percent\":40}".into()).unwrap()
    }

    #[test]
    fn the_page_is_served_again_and_again() {
        let address = server();
        for _ in 0..3 {
            let answer = ask(address, "GET /progress HTTP/1.1\r\nhost: pod\r\n\r\n");
            assert!(
                answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n{\"percent\":40}"),
                "{answer}"
            );
        }
    }

    #[test]
    fn other_pages_and_methods_are_refused() {
        let address = server();
        assert!(ask(address, "GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"));
        assert!(ask(address, "POST /progress HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405"));
    }

    #[test]
    fn a_reader_that_leaves_does_not_stop_the_server() {
        let address = server();
        drop(TcpStream::connect(address).unwrap());
        assert!(ask(address, "GET /progress HTTP/1.1\r\n\r\n").contains("200 OK"));
    }
}
