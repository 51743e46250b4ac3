// SPDX-License-Identifier: Apache-2.0

// Echoes connections, each in a goroutine of its own, on the preopened listener at descriptor 3.
package main

import (
	"io"
	"log"
	"net"
	"os"
)

func main() {
	listener, err := net.FileListener(os.NewFile(3, "listener"))
	if err != nil {
		log.Fatal(err)
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			defer connection.Close()
			io.Copy(connection, connection)
		}()
	}
}
