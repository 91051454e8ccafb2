package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/ebbdb/ebb/cluster"
)

// call is what a client or the harness asks of a node, over HTTP on its control address.
type call struct {
	Op    string // of node.do
	Key   string
	Value string
	Old   string
	Delta int64
	Micro []micro           // of a transaction
	Via   map[string]string // by address of a node: where to dial it
}

// micro is one operation of a transaction on lists.
type micro struct {
	List   string
	Append string // "": read
}

// How a call ended.
const (
	done    = "ok"      // it was done
	refused = "refused" // it was not done, and never will be
	unknown = "unknown" // it was done, may be done, or will never be
)

// answer is what a call came to.
type answer struct {
	Outcome string
	Err     string
	Value   string
	Found   bool
	N       int64
	Lists   [][]string // of the reads of a transaction, in their order
	Node    cluster.NodeStatus
	Digests []string // id=digest, or id!error
}

// ask makes a call of a node. What does not come back has an outcome that is unknown.
func ask(ctx context.Context, c *http.Client, addr string, what call) answer {
	body, err := json.Marshal(what)
	if err != nil {
		return answer{Outcome: refused, Err: err.Error()}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/", bytes.NewReader(body))
	if err != nil {
		return answer{Outcome: refused, Err: err.Error()}
	}
	resp, err := c.Do(req)
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		return answer{Outcome: refused, Err: err.Error()} // there is no such process now
	}
	if err != nil {
		return answer{Outcome: unknown, Err: err.Error()}
	}
	defer resp.Body.Close()
	var a answer
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, b)
	}
	if err == nil {
		err = json.Unmarshal(b, &a)
	}
	if err != nil {
		return answer{Outcome: unknown, Err: err.Error()}
	}
	return a
}
