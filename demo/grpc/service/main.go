// SPDX-License-Identifier: Apache-2.0

// The service of greeter.proto: HTTP/2 without TLS, which is the Keep's, on the listening socket at descriptor 3.
//
// It needs nothing but Go's own library: GOOS=wasip1 GOARCH=wasm go build main.go
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
	"unicode/utf8"
)

// Most bytes of a request's message.
const messageMax = 4096

// What a call ends with: a code of gRPC and words.
type status struct {
	code    int
	message string
}

func invalid(message string) *status {
	return &status{3, message}
}

func main() {
	log.SetFlags(0)
	listener, err := net.FileListener(os.NewFile(3, "greeter"))
	if err != nil {
		log.Fatal(err)
	}
	// What the Keep hands over is HTTP/2 from its first byte on.
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Handler:           http.HandlerFunc(serve),
		Protocols:         protocols,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       5 * time.Minute,
		MaxHeaderBytes:    16 * 1024,
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				log.Print("greeter: a connection")
			}
		},
	}
	log.Fatal(server.Serve(listener))
}

func serve(w http.ResponseWriter, r *http.Request) {
	kind := r.Header.Get("Content-Type")
	if r.Method != http.MethodPost || kind != "application/grpc" && !strings.HasPrefix(kind, "application/grpc+proto") {
		http.Error(w, "this is a gRPC service", http.StatusUnsupportedMediaType)
		return
	}
	w.Header().Set("Content-Type", "application/grpc")
	reply, failed := call(r)
	if failed != nil {
		// No message, so the status can go with the headers.
		w.Header().Set("Grpc-Status", fmt.Sprint(failed.code))
		w.Header().Set("Grpc-Message", failed.message)
		return
	}
	frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(reply)))
	log.Print("greeter: SayHello")
	// Whoever does not get the message gets no status either.
	if _, err := w.Write(append(frame, reply...)); err == nil {
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
	}
}

func call(r *http.Request) ([]byte, *status) {
	if r.URL.Path != "/enarx.demo.greeter.Greeter/SayHello" {
		return nil, &status{12, "there is no such method"}
	}
	request, failed := message(r.Body)
	if failed != nil {
		return nil, failed
	}
	name, err := name(request)
	if err != nil {
		return nil, invalid(err.Error())
	}
	text := "Hello, " + name + ", from inside a Keep!"
	reply := binary.AppendUvarint([]byte{1<<3 | 2}, uint64(len(text)))
	return append(reply, text...), nil
}

// The one message of a unary call: whether it is compressed, its length, its bytes.
func message(body io.Reader) ([]byte, *status) {
	var head [5]byte
	if _, err := io.ReadFull(body, head[:]); err != nil {
		return nil, invalid("the message is cut off")
	}
	if head[0] != 0 {
		return nil, &status{12, "compressed messages are not taken"}
	}
	length := binary.BigEndian.Uint32(head[1:])
	if length > messageMax {
		return nil, &status{8, "the message is too large"}
	}
	message := make([]byte, length)
	if _, err := io.ReadFull(body, message); err != nil {
		return nil, invalid("the message is cut off")
	}
	if _, err := io.ReadFull(body, head[:1]); err != io.EOF {
		return nil, invalid("there is something after the message")
	}
	return message, nil
}

var malformed = errors.New("this is no HelloRequest")

// Field 1 of a HelloRequest. Fields that it does not know are passed over, as Protocol Buffers want it.
func name(message []byte) (string, error) {
	name := ""
	for len(message) > 0 {
		tag, size := binary.Uvarint(message)
		if size <= 0 || tag>>3 == 0 {
			return "", malformed
		}
		message = message[size:]
		length := uint64(0)
		switch tag & 7 {
		case 0:
			_, size := binary.Uvarint(message)
			if size <= 0 {
				return "", malformed
			}
			length = uint64(size)
		case 1:
			length = 8
		case 2:
			value, size := binary.Uvarint(message)
			if size <= 0 {
				return "", malformed
			}
			message = message[size:]
			length = value
		case 5:
			length = 4
		default:
			return "", malformed
		}
		if length > uint64(len(message)) {
			return "", malformed
		}
		if tag == 1<<3|2 {
			name = string(message[:length])
		}
		message = message[length:]
	}
	if !utf8.ValidString(name) {
		return "", malformed
	}
	return name, nil
}
