import * as React from "react";
import { createRoot } from "react-dom/client";
import { usePresence } from "live-viewer-badge/react";
import Course from "./Course.jsx";
import Watching from "./Watching.jsx";

function Lesson({ chapterId }) {
  const { count } = usePresence({ courseId: "COURSE-hook", chapterId, viewerId: "eve", baseUrl: "BASE" });
  return <output>{count?.total}</output>;
}

function Page() {
  const [chapter, setChapter] = React.useState(1);
  return (
    <>
      <button onClick={() => setChapter(chapter + 1)}>Next</button>
      <h1>React {React.version}</h1>
      <Course courseId="COURSE" user={{ id: "ada", name: "Ada" }} />
      <Watching courseId="COURSE" />
      {chapter < 3 && <Lesson chapterId={`ch-${chapter}`} />}
    </>
  );
}

createRoot(document.getElementById("app")).render(<React.StrictMode><Page /></React.StrictMode>);
