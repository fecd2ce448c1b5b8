// The peer of rows 1 and 2: heartbeats over HTTP into the Centrifuge library's Redis presence manager.
//
// Built and run by tests/benchmarks/peers. Usage: peer LISTEN_ADDRESS REDIS_URL. One core: GOMAXPROCS
// is set by who starts it. It does less than we do: no count in the reply, no limits, no seq, no publish.
package main

import (
	"encoding/json"
	"log"
	"net/http"
	"os"
	"strings"

	"github.com/centrifugal/centrifuge"
)

type heartbeat struct {
	ViewerID  string `json:"viewer_id"`
	ChapterID string `json:"chapter_id"`
	Name      string `json:"name"`
	Seq       int64  `json:"seq"`
}

func main() {
	node, err := centrifuge.New(centrifuge.DefaultConfig)
	check(err)
	shard, err := centrifuge.NewRedisShard(node, centrifuge.RedisShardConfig{Address: os.Args[2]})
	check(err)
	presence, err := centrifuge.NewRedisPresenceManager(node, centrifuge.RedisPresenceManagerConfig{
		Shards: []*centrifuge.RedisShard{shard},
	})
	check(err)
	node.SetPresenceManager(presence)
	check(node.Run())

	http.HandleFunc("/v1/courses/", func(w http.ResponseWriter, r *http.Request) {
		course := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/v1/courses/"), "/heartbeat")
		var said heartbeat
		if err := json.NewDecoder(r.Body).Decode(&said); err != nil || said.ViewerID == "" {
			http.Error(w, "not a heartbeat", http.StatusBadRequest)
			return
		}
		info, err := json.Marshal(map[string]string{"name": said.Name, "chapter": said.ChapterID})
		check(err)
		err = presence.AddPresence(course, said.ViewerID, &centrifuge.ClientInfo{
			ClientID: said.ViewerID, UserID: said.ViewerID, ConnInfo: info,
		})
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"next_heartbeat_ms":27000}`))
	})
	http.HandleFunc("/readyz", func(w http.ResponseWriter, r *http.Request) {})
	log.Fatal(http.ListenAndServe(os.Args[1], nil))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
