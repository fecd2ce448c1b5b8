import Course from "./Course.jsx";

export default function Page() {
  return <><h1>Next.js</h1><Course courseId="COURSE" user={{ id: "ada", name: "Ada" }} /></>;
}
