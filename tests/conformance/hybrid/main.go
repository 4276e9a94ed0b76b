// Checks tests/conformance/hybrid.json with nothing but Go's own library: docs/spec/noise.md, "Hybrid
// suites", written a second time.
package main

import (
	"bytes"
	"crypto/hkdf"
	"crypto/mlkem"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
)

const label = "valkyrie/2 noise psk3 mlkem768"

// One derivation, in hexadecimal digits.
type vector struct {
	Name             string `json:"name"`
	Seed             hexed  `json:"seed"`
	EncapsulationKey hexed  `json:"ek"`
	Ciphertext       hexed  `json:"ct"`
	Secret           hexed  `json:"ss"`
	Provisioned      hexed  `json:"provisioned"`
	Psk              hexed  `json:"psk"`
}

type hexed []byte

func (h *hexed) UnmarshalJSON(text []byte) error {
	var digits string
	if err := json.Unmarshal(text, &digits); err != nil {
		return err
	}
	decoded, err := hex.DecodeString(digits)
	*h = decoded
	return err
}

func (v vector) check() error {
	key, err := mlkem.NewDecapsulationKey768(v.Seed)
	if err != nil {
		return err
	}
	ek := key.EncapsulationKey().Bytes()
	if !bytes.Equal(ek, v.EncapsulationKey) {
		return fmt.Errorf("another encapsulation key")
	}
	secret, err := key.Decapsulate(v.Ciphertext)
	if err != nil {
		return err
	}
	if !bytes.Equal(secret, v.Secret) {
		return fmt.Errorf("another shared secret")
	}
	keyHash, ciphertextHash := sha256.Sum256(ek), sha256.Sum256(v.Ciphertext)
	info := label + string(keyHash[:]) + string(ciphertextHash[:])
	psk, err := hkdf.Key(sha256.New, secret, v.Provisioned, info, 32)
	if err != nil {
		return err
	}
	if !bytes.Equal(psk, v.Psk) {
		return fmt.Errorf("another psk: %x", psk)
	}
	return nil
}

func run(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var file struct {
		Vectors []vector `json:"vectors"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return err
	}
	if len(file.Vectors) == 0 {
		return fmt.Errorf("%s has no vectors", path)
	}
	for _, v := range file.Vectors {
		if err := v.check(); err != nil {
			return fmt.Errorf("%s: %w", v.Name, err)
		}
	}
	return nil
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: hybrid VECTORS")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
