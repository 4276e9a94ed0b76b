module valkyrie.test/tls-peer

go 1.25
