module valkyrie.test/hybrid

go 1.24
